"""Layers that generators and critics share."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nets.embedding import TimeConditionEmbedding
from jaxgen.nets.normalization import largest_divisor


def leaky_relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Leaky ReLU of slope .2 (Radford et al. 2016)."""
    return nn.leaky_relu(x, 0.2)


def num_halvings(height: int, width: int) -> int:
    """Count how often an image can be halved evenly to sides of 4 or more; raise ValueError if not once."""
    count = 0
    while height % 2 == width % 2 == 0 and min(height, width) >= 8:
        height, width, count = height // 2, width // 2, count + 1
    if count == 0:
        raise ValueError(
            f"images of {height}×{width} cannot be halved to 4×4 or more: use sides that are even and at least 8"
        )
    return count


def check_event(event: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (height, width, channels); raise ValueError for what is no image."""
    if len(event) != 3:
        raise ValueError(f"expected an event (height, width, channels), got {tuple(event)}")
    return tuple(event)


def normalised(layer: nn.Module, x: Float[Array, "b *in"], spectral: bool, update_stats: bool) -> Array:
    """Apply a named layer, with its kernel divided by an estimate of its largest singular value if `spectral`.

    The estimate is Flax's: one step of power iteration on the kernel as a matrix with its last axis (Miyato et al.
    2018). It lies in the collection "batch_stats", and the parameters have the same names with it and without.
    """
    if not spectral:
        return layer(x)
    return nn.SpectralNorm(layer, name=f"{layer.name}_norm")(x, update_stats=update_stats)


class TimeShift(nn.Module):
    """Add to each channel a linear function of the embedded time; without a time do nothing."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *space c"], embedding: Float[Array, "b e"] | None
    ) -> Float[Array, "b *space c"]:
        """Shift x by the embedding (b, e)."""
        if embedding is None:
            return x
        shift = nn.Dense(x.shape[-1], name="shift")(embedding)
        return x + shift.reshape(len(x), *(1,) * (x.ndim - 2), -1).astype(x.dtype)


def embedded_time(t: Array | None, features: int, batch: int) -> Float[Array, "b features"] | None:
    """Embed times within a module's call; None for a critic without time."""
    if t is None:
        return None
    return leaky_relu(TimeConditionEmbedding(features, name="embedding")(t, None, batch))


class MappingNetwork(nn.Module):
    """Map a latent z, scaled to a mean square of 1, through linear layers with leaky ReLU (Karras et al. 2019)."""

    features: int = 256
    depth: int = 4

    @nn.compact
    def __call__(self, z: Float[Array, "b d"]) -> Float[Array, "b features"]:
        """Map z (b, d) to (b, features), float32."""
        if z.shape[-1] < 2:
            raise ValueError("the mapping network keeps only the sign of a latent of one number: give at least 2")
        w = z.astype(jnp.float32)
        w = w * jax.lax.rsqrt(jnp.mean(w**2, axis=-1, keepdims=True) + 1e-8)
        for i in range(self.depth):
            w = leaky_relu(nn.Dense(self.features, name=f"dense_{i}")(w))
        return w


def minibatch_std(x: Float[Array, "b *space c"], group: int = 4) -> Float[Array, "b *space c1"]:
    """Append a channel with the standard deviation within groups of the batch, averaged over the event.

    It shows a critic how much the examples differ. Groups are consecutive examples. If `group` does not divide the
    batch, the largest number below it that does takes its place.

    Args:
        x: features (b, *space, c).
        group: examples in a group, at least 1.

    Returns:
        The features (b, *space, c + 1). All examples of a group have the same number in the last channel.

    Reference:
        Karras et al. 2018, "Progressive Growing of GANs", §3.
    """
    batch = x.shape[0]
    size = largest_divisor(batch, group)
    groups = x.reshape(batch // size, size, -1).astype(jnp.float32)
    # the constant keeps the gradient finite where all examples are equal
    std = jnp.sqrt(groups.var(1) + 1e-8).mean(-1)
    extra = jnp.broadcast_to(jnp.repeat(std, size).reshape(batch, *(1,) * (x.ndim - 1)), (*x.shape[:-1], 1))
    return jnp.concatenate([x, extra.astype(x.dtype)], axis=-1)

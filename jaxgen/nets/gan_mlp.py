"""Fully connected generators and critics for points and other small events, also of denoising diffusion GANs."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxgen.core import as_float
from jaxgen.nets.embedding import broadcast_times
from jaxgen.nets.flattening import flattened
from jaxgen.nets.fourier import fourier_features
from jaxgen.nets.gan_layers import normalised
from jaxgen.nets.gaussian_head import flatten_latents


class MLPGenerator(nn.Module):
    """Hidden layers with ReLU from a latent to one unbounded number for each value of the event.

    `net.apply(params, z)` maps latents (b, *d) to (b, *event), in float32 or higher.

    Args:
        event: shape of one example.
        hidden: widths of the hidden layers.
        frequencies: number of Fourier features' frequencies that are appended to z; 0 for none.

    Raises:
        ValueError: if z is not floating point or has no axis beyond the batch, or `frequencies` is negative.

    Reference:
        Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", §3.2, for the widths.
    """

    event: Sequence[int] = (2,)
    hidden: Sequence[int] = (512, 512, 512)
    frequencies: int = 0

    @nn.compact
    def __call__(self, z: Float[Array, "b *d"]) -> Float[Array, "b *event"]:
        """Generate examples from z (b, *d)."""
        x = fourier_features(as_float(flatten_latents(z)), self.frequencies)
        for i, width in enumerate(self.hidden):
            x = nn.relu(nn.Dense(width, name=f"dense_{i}")(x))
        return nn.Dense(math.prod(self.event), name="out")(x).reshape(len(z), *self.event)


class MLPCritic(nn.Module):
    """Hidden layers with ReLU from an example to its logit.

    `net.apply(params, x)` maps x (b, *event) to logits (b,), in float32 or higher. A critic of noised examples is
    initialised and called with their times, `net.apply(params, x, t)`. `spectral_norm` adds the collection
    "batch_stats", as in `DCGANCritic`.

    Args:
        hidden: widths of the hidden layers.
        spectral_norm: divide each layer's kernel by an estimate of its largest singular value.
        frequencies: number of Fourier features' frequencies that are appended to x; 0 for none.

    Raises:
        ValueError: if x is not floating point or has no event axis, t has another shape than () or (b,), or
            `frequencies` is negative.

    Reference:
        Gulrajani et al. 2017, §3.2, for the widths.
    """

    hidden: Sequence[int] = (512, 512, 512)
    spectral_norm: bool = False
    frequencies: int = 0

    @nn.compact
    def __call__(
        self, x: Shaped[ArrayLike, "b *event"], t: Shaped[ArrayLike, "..."] | None = None, *, update_stats: bool = False
    ) -> Float[Array, " b"]:
        """Evaluate the critic at x (b, *event), and at their times t, () or (b,), in [0, 1]."""
        x = fourier_features(flattened(x), self.frequencies)
        if t is not None:
            x = jnp.concatenate([x, _time_features(t, len(x))], axis=-1)

        def apply(width, x, name):
            return normalised(nn.Dense(width, name=name), x, self.spectral_norm, update_stats)

        for i, width in enumerate(self.hidden):
            x = nn.relu(apply(width, x, f"dense_{i}"))
        return apply(1, x, "out")[:, 0]


class DenoisingMLPGenerator(nn.Module):
    """`MLPGenerator` of a noisy example, a time and a latent, for denoising diffusion GANs.

    `network(x, t, z)` maps x (b, *event), times t (b,) or () in [0, 1] and latents z (b, d) to clean examples
    (b, *event), in float32 or higher.

    Args:
        hidden: widths of the hidden layers.
        frequencies: number of Fourier features' frequencies that are appended to x; 0 for none.

    Raises:
        ValueError: if z is not floating point or has no axis beyond the batch, t has a wrong shape, or `frequencies`
            is negative.
    """

    hidden: Sequence[int] = (512, 512, 512)
    frequencies: int = 0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *event"], t: Shaped[ArrayLike, "..."], z: Float[Array, "b *d"]
    ) -> Float[Array, "b *event"]:
        """Generate clean examples."""
        numbers = fourier_features(x.reshape(len(x), -1), self.frequencies)
        inputs = jnp.concatenate([numbers, flatten_latents(z), _time_features(t, len(x))], axis=-1)
        return MLPGenerator(x.shape[1:], self.hidden, name="mlp")(inputs)


class DenoisingMLPCritic(nn.Module):
    """`MLPCritic` of x_s, x_t and the time t of x_t, for denoising diffusion GANs.

    `net.apply(params, x_s, x_t, t)` maps x_s and x_t (b, *event) and times t (b,) or () to logits (b,), in float32 or
    higher.

    Args:
        hidden: widths of the hidden layers.
        spectral_norm: as in `MLPCritic`.
        frequencies: as in `MLPCritic`.

    Raises:
        ValueError: as `MLPCritic` does.
    """

    hidden: Sequence[int] = (512, 512, 512)
    spectral_norm: bool = False
    frequencies: int = 0

    @nn.compact
    def __call__(
        self,
        x_s: Float[Array, "b *event"],
        x_t: Float[Array, "b *event"],
        t: Shaped[ArrayLike, "..."],
        *,
        update_stats: bool = False,
    ) -> Float[Array, " b"]:
        """Evaluate the critic."""
        both = jnp.concatenate([x_s.reshape(len(x_s), -1), x_t.reshape(len(x_t), -1)], axis=-1)
        return MLPCritic(self.hidden, self.spectral_norm, self.frequencies, name="mlp")(
            both, t, update_stats=update_stats
        )


def _time_features(t: Shaped[ArrayLike, "..."], batch: int) -> Float[Array, "b k"]:
    """Few features of times () or (b,) in [0, 1], which leave the small networks to the example."""
    return fourier_features(broadcast_times(t, batch)[:, None], 6)

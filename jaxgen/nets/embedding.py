"""Embeddings of times and conditions."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Shaped


def sinusoidal_embedding(
    t: Float[Array, " b"], features: int, *, scale: float = 1000.0, max_period: float = 10_000.0
) -> Float[Array, "b features"]:
    """Embed times as cosines and sines of `scale`·t at geometric frequencies, computed in float32.

    Args:
        t: times (b,): in [0, 1], which `scale` maps to DDPM's steps 0…1000, or EDM's c_noise, about [-2, 2].
        features: number of features, even: features/2 cosines, then as many sines.
        scale: factor of the times.
        max_period: the frequencies fall from 1 towards 1/max_period.

    Returns:
        The embedding (b, features), float32.

    Raises:
        ValueError: unless `features` is even and positive.

    Reference:
        Vaswani et al. 2017, §3.5; Ho et al. 2020, appendix B.
    """
    if features < 2 or features % 2:
        raise ValueError(f"a sinusoidal embedding pairs cosines with sines: features must be even, got {features}")
    half = features // 2
    frequencies = max_period ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = scale * jnp.asarray(t, jnp.float32)[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def broadcast_times(t: Shaped[ArrayLike, "..."], batch: int) -> Float[Array, " b"]:
    """Broadcast times () or (batch,) to float32 (batch,); raise ValueError for other shapes."""
    t = jnp.asarray(t, jnp.float32)
    if t.shape not in ((), (batch,)):
        raise ValueError(f"t holds one noise level per example: expected shape ({batch},) or (), got {t.shape}")
    return jnp.broadcast_to(t, (batch,))


def condition_vector(
    cond: Shaped[ArrayLike, "..."] | None, batch: int, *, num_classes: int | None, cond_dim: int | None
) -> Float[Array, "b k"] | None:
    """Convert a condition to one float32 vector per example, in which **zeros mean "no condition"**.

    The bias of the layer that reads the vector is the learned null token of classifier-free guidance (Ho & Salimans
    2022).

    Args:
        cond: with `num_classes`, integer labels (b,). 0 … num_classes-1 become one-hot rows times √num_classes, which
            have unit mean square as in Karras et al. 2022. num_classes and negative labels are null. Larger labels give
            NaN, so that wrong labels show in the first loss. With `cond_dim`, vectors (b, cond_dim). None is null for
            the whole batch.
        batch: batch size b.
        num_classes: number of classes, if `cond` holds labels.
        cond_dim: dimension of `cond`, if it holds vectors.

    Returns:
        Vectors (b, num_classes or cond_dim), or None for an unconditional network.

    Raises:
        ValueError: if cond has another shape, labels are not integers, an unconditional network gets a condition,
            `num_classes` and `cond_dim` are both given, or either is below 1.
    """
    if num_classes is not None and cond_dim is not None:
        raise ValueError(f"set num_classes={num_classes} for labels or cond_dim={cond_dim} for vectors, not both")
    width = num_classes if num_classes is not None else cond_dim
    if width is None:
        if cond is not None:
            raise ValueError("this network is unconditional but got cond; build it with num_classes=… or cond_dim=…")
        return None
    if width < 1:
        raise ValueError(f"a condition has at least one class or dimension, got {width}")
    if cond is None:
        return jnp.zeros((batch, width), jnp.float32)

    cond = jnp.asarray(cond)
    if cond_dim is not None:
        if cond.shape != (batch, cond_dim):
            raise ValueError(f"cond must be a vector per example, shape ({batch}, {cond_dim}), got {cond.shape}")
        return cond.astype(jnp.float32)

    labels = class_labels(cond, batch, num_classes)
    one_hot = num_classes**0.5 * jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
    return jnp.where(labels[:, None] > num_classes, jnp.nan, one_hot)


def class_labels(cond: Shaped[ArrayLike, "..."], batch: int, num_classes: int) -> Int[Array, " b"]:
    """Convert labels to int32, in which num_classes is null and larger labels stay.

    Args:
        cond: integer labels (b,), of which negative ones are null.
        batch: batch size b.
        num_classes: number of classes.

    Returns:
        Labels (batch,), none of them negative.

    Raises:
        ValueError: if labels are not integers or have another shape.
    """
    cond = jnp.asarray(cond)
    if not jnp.issubdtype(cond.dtype, jnp.integer):
        raise ValueError(f"with num_classes set, cond holds integer labels, got {cond.dtype}; use cond_dim for vectors")
    if cond.shape != (batch,):
        raise ValueError(f"cond must be a label per example, shape ({batch},), got {cond.shape}")
    cond = cond.astype(jnp.int32)
    return jnp.where(cond < 0, num_classes, cond)


class EmbeddingMLP(nn.Module):
    """Linear layer, activation and linear layer, in float32."""

    features: int
    activation: Callable[[Array], Array] = nn.silu
    hidden_bias_init: nn.initializers.Initializer = nn.initializers.zeros
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, vector: Float[Array, "b k"]) -> Float[Array, "b features"]:
        """Map a vector (b, k) to (b, features)."""
        first = nn.Dense(self.features, kernel_init=self.kernel_init, bias_init=self.hidden_bias_init)
        second = nn.Dense(self.features, kernel_init=self.kernel_init, bias_init=self.bias_init)
        return second(self.activation(first(vector)))


class TimeConditionEmbedding(nn.Module):
    """The sum of a time embedding and a condition embedding (Dhariwal & Nichol 2021)."""

    features: int
    num_classes: int | None = None
    cond_dim: int | None = None

    @nn.compact
    def __call__(
        self, t: Shaped[ArrayLike, "..."], cond: Shaped[ArrayLike, "..."] | None, batch: int
    ) -> Float[Array, "b features"]:
        """Embed t (b,) or () and cond; raise ValueError as `broadcast_times` and `condition_vector` do."""
        vector = condition_vector(cond, batch, num_classes=self.num_classes, cond_dim=self.cond_dim)
        waves = sinusoidal_embedding(broadcast_times(t, batch), self.features + self.features % 2)
        embedding = EmbeddingMLP(self.features, name="time")(waves)
        if vector is not None:
            embedding += EmbeddingMLP(self.features, name="condition")(vector)
        return embedding

"""How the noise level and the condition enter a network, and what "no condition" means to all of them."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped


def sinusoidal_embedding(
    t: Float[Array, " b"], features: int, *, scale: float = 1000.0, max_period: float = 10_000.0
) -> Float[Array, "b features"]:
    """Cosines, then sines, of `scale`·t at features/2 frequencies falling geometrically from 1 towards 1/max_period.

    `scale` maps t in [0, 1] to DDPM's steps 0…1000; EDM's c_noise, about [-2, 2], is as welcome. Computed in float32.
    The positions of Vaswani et al. 2017 (§3.5), used for diffusion time by Ho et al. 2020 (appendix B).
    Raises ValueError unless `features` is even and positive.
    """
    if features < 2 or features % 2:
        raise ValueError(f"a sinusoidal embedding pairs cosines with sines: features must be even, got {features}")
    half = features // 2
    frequencies = max_period ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = scale * jnp.asarray(t, jnp.float32)[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def time_vector(t: Shaped[ArrayLike, "..."], batch: int) -> Float[Array, " b"]:
    """Noise levels as float32 of shape (batch,); one level () serves the whole batch.

    Raises ValueError for any other shape.
    """
    t = jnp.asarray(t, jnp.float32)
    if t.shape not in ((), (batch,)):
        raise ValueError(f"t holds one noise level per example: expected shape ({batch},) or (), got {t.shape}")
    return jnp.broadcast_to(t, (batch,))


def condition_vector(
    cond: Shaped[ArrayLike, "..."] | None, batch: int, *, num_classes: int | None, cond_dim: int | None
) -> Float[Array, "b k"] | None:
    """One float32 vector per example, in which **zeros mean "no condition"**; None for an unconditional network.

    With `num_classes`, `cond` holds integer labels (b,): 0 … num_classes-1 become one-hot rows times √num_classes (unit
    mean square, as in Karras et al. 2022); num_classes itself and negative labels are null; a larger label gives NaN,
    so that a mislabelled batch shows at the first loss. With `cond_dim`, `cond` (b, cond_dim) is passed on in float32.
    `cond=None` is null for the whole batch. The bias of the layer that reads the vector is the learned null token of
    classifier-free guidance (Ho & Salimans 2022).
    Raises ValueError for a condition the network was not built for, of another shape, or labels that are not integers.
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

    if not jnp.issubdtype(cond.dtype, jnp.integer):
        raise ValueError(f"with num_classes set, cond holds integer labels, got {cond.dtype}; use cond_dim for vectors")
    if cond.shape != (batch,):
        raise ValueError(f"cond must be a label per example, shape ({batch},), got {cond.shape}")
    one_hot = num_classes**0.5 * jax.nn.one_hot(cond, num_classes, dtype=jnp.float32)
    return jnp.where(cond[:, None] > num_classes, jnp.nan, one_hot)


class EmbeddingMLP(nn.Module):
    """Linear, activation, linear: the usual reader of a time or condition vector, in float32."""

    features: int
    activation: Callable[[Array], Array] = nn.silu
    hidden_bias_init: nn.initializers.Initializer = nn.initializers.zeros
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, vector: Float[Array, "b k"]) -> Float[Array, "b features"]:
        """Read a vector (b, k) into (b, features)."""
        hidden = self.activation(nn.Dense(self.features, bias_init=self.hidden_bias_init)(vector))
        return nn.Dense(self.features, bias_init=self.bias_init)(hidden)


class TimeConditionEmbedding(nn.Module):
    """One vector per example that says how noisy it is and, if the network is conditional, what is asked for.

    The sum of both embeddings, as in Dhariwal & Nichol 2021; conditions are read by `condition_vector`.
    """

    features: int
    num_classes: int | None = None
    cond_dim: int | None = None

    @nn.compact
    def __call__(
        self, t: Shaped[ArrayLike, "..."], cond: Shaped[ArrayLike, "..."] | None, batch: int
    ) -> Float[Array, "b features"]:
        """Embed t (b,) or () and cond; raises ValueError as `time_vector` and `condition_vector` do."""
        vector = condition_vector(cond, batch, num_classes=self.num_classes, cond_dim=self.cond_dim)
        waves = sinusoidal_embedding(time_vector(t, batch), self.features + self.features % 2)
        embedding = EmbeddingMLP(self.features, name="time")(waves)
        if vector is not None:
            embedding += EmbeddingMLP(self.features, name="condition")(vector)
        return embedding

"""A fully connected encoder and decoder, plain or gated."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.distributions import Gaussian
from jaxgen.nets.gaussian_head import GaussianHead, latent_vectors, mean_and_scale

Layer = Literal["relu", "tanh", "gated"]


class MLPEncoder(nn.Module):
    """Hidden layers over the flattened event, then the mean and std of a Gaussian (b, latent_dim).

    `net.apply(params, x)` maps x (b, *event), of any event shape, to a `Gaussian`, float32 at least. The defaults are
    those of Higgins et al. 2017 (table 1, dSprites). layer: "relu", "tanh", or "gated", (W x + b)·σ(V x + c): with
    hidden (300, 300) the encoder of Tomczak & Welling 2018.
    Raises ValueError for another layer, and for x that is not floating point or has no event axis.
    """

    latent_dim: int = 10
    hidden: Sequence[int] = (1200, 1200)
    layer: Layer = "relu"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Shaped[ArrayLike, "b *event"]) -> Gaussian:
        """The Gaussian of every example."""
        x = jnp.asarray(x)
        if x.ndim < 2 or not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"expected floating-point x (batch, *event), got {x.dtype} of shape {x.shape}")
        x = _Layers(self.hidden, self.layer, self.dtype, name="layers")(x.reshape(x.shape[0], -1))
        return GaussianHead(self.latent_dim, name="posterior")(x)


class MLPDecoder(nn.Module):
    """Hidden layers over the flattened latent, then one number for each value of the event.

    `net.apply(params, z)` maps z (b, *d) to logits or means (b, *event), unbounded, float32 at least; with
    learned_scale to a `Gaussian` of mean and scale, each (b, *event), the scale in [e⁻⁷, e⁷]. The defaults are those of
    Higgins et al. 2017 (table 1, dSprites); layer as in `MLPEncoder`.
    Raises ValueError for another layer, and for z that is not floating point or has no axis beyond the batch.
    """

    event: Sequence[int]
    hidden: Sequence[int] = (1200, 1200, 1200)
    layer: Layer = "tanh"
    learned_scale: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "b *d"]) -> Float[Array, "b *event"] | Gaussian:
        """What is said of every event."""
        x = _Layers(self.hidden, self.layer, self.dtype, name="layers")(latent_vectors(z))
        size = math.prod(self.event) * (2 if self.learned_scale else 1)
        out = nn.Dense(size, name="out")(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
        shape = (len(z), *self.event)
        if not self.learned_scale:
            return out.reshape(shape)
        mean, scale = mean_and_scale(out)
        return Gaussian(mean.reshape(shape), scale.reshape(shape))


class _Layers(nn.Module):
    widths: Sequence[int]
    layer: str
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x):
        if self.layer not in get_args(Layer):
            raise ValueError(f"unknown layer {self.layer!r}: choose one of {', '.join(get_args(Layer))}")
        for i, width in enumerate(self.widths):
            hidden = nn.Dense(width, dtype=self.dtype, name=f"dense_{i}")(x)
            if self.layer == "gated":
                x = hidden * nn.sigmoid(nn.Dense(width, dtype=self.dtype, name=f"gate_{i}")(x))
            else:
                x = nn.relu(hidden) if self.layer == "relu" else nn.tanh(hidden)
        return x

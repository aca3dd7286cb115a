"""A fully connected encoder and decoder with plain or gated layers."""

import math
from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.core import as_float, check_choice
from jaxgen.distributions import Gaussian
from jaxgen.nets.flattening import flattened
from jaxgen.nets.gaussian_head import GaussianHead, flatten_latents, split_mean_and_scale

Layer = Literal["relu", "tanh", "gated"]


class MLPEncoder(nn.Module):
    """Hidden layers over the flattened event, then a `Gaussian` over latents.

    `net.apply(params, x)` maps x (b, *event) to a `Gaussian` (b, latent_dim), in float32 or higher. The defaults are
    those of Higgins et al. 2017 (table 1, dSprites). With hidden (300, 300) and "gated" it is the encoder of Tomczak &
    Welling 2018.

    Args:
        latent_dim: number of latents.
        hidden: widths of the hidden layers.
        layer: "relu", "tanh", or "gated", which is (W x + b)·sigmoid(V x + c).
        dtype: type that the hidden layers compute in.

    Raises:
        ValueError: if the layer is unknown, or x is not floating point or has no event axis.
    """

    latent_dim: int = 10
    hidden: Sequence[int] = (1200, 1200)
    layer: Layer = "relu"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Shaped[ArrayLike, "b *event"]) -> Gaussian:
        """Encode x (b, *event)."""
        x = _HiddenLayers(self.hidden, self.layer, self.dtype, name="layers")(flattened(x))
        return GaussianHead(self.latent_dim, name="posterior")(x)


class MLPDecoder(nn.Module):
    """Hidden layers over the flattened latent, then one output for each value of the event.

    `net.apply(params, z)` maps latents (b, *d) to unbounded logits or means (b, *event), in float32 or higher. The
    defaults are those of Higgins et al. 2017 (table 1, dSprites).

    Args:
        event: shape of one example.
        hidden: widths of the hidden layers.
        layer: as in `MLPEncoder`.
        learned_scale: return a `Gaussian` with a learned scale in [e⁻⁷, e⁷] instead of an array.
        dtype: type that the hidden layers compute in.

    Raises:
        ValueError: if the layer is unknown, or z is not floating point or has no axis beyond the batch.
    """

    event: Sequence[int]
    hidden: Sequence[int] = (1200, 1200, 1200)
    layer: Layer = "tanh"
    learned_scale: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "b *d"]) -> Float[Array, "b *event"] | Gaussian:
        """Decode z (b, *d)."""
        x = _HiddenLayers(self.hidden, self.layer, self.dtype, name="layers")(flatten_latents(z))
        size = math.prod(self.event) * (2 if self.learned_scale else 1)
        out = nn.Dense(size, name="out")(as_float(x))
        shape = (len(z), *self.event)
        if not self.learned_scale:
            return out.reshape(shape)
        mean, scale = split_mean_and_scale(out)
        return Gaussian(mean.reshape(shape), scale.reshape(shape))


class _HiddenLayers(nn.Module):
    widths: Sequence[int]
    layer: str
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x):
        check_choice(Layer, layer=self.layer)
        for i, width in enumerate(self.widths):
            hidden = nn.Dense(width, dtype=self.dtype, name=f"dense_{i}")(x)
            if self.layer == "gated":
                x = hidden * nn.sigmoid(nn.Dense(width, dtype=self.dtype, name=f"gate_{i}")(x))
            else:
                x = nn.relu(hidden) if self.layer == "relu" else nn.tanh(hidden)
        return x

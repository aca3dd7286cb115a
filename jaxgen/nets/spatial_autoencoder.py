"""A convolutional encoder and decoder whose latent keeps its places, to be quantised or coded sparsely."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.distributions import Gaussian
from jaxgen.nets.gaussian_head import mean_and_scale
from jaxgen.nets.resampling import image_size
from jaxgen.nets.up_conv import UpConv


class SpatialEncoder(nn.Module):
    """Convolutions of 4×4 and stride 2, one of 3×3, and residual blocks (van den Oord et al. 2017, §4.1).

    `net.apply(params, x)` maps images x (b, h, w, c) to (b, h/2^stages, w/2^stages, channels), float32 at least:
    16×16 images to 4×4 vectors by default. Raises ValueError unless stages ≥ 1 and 2^stages divides both sides, and
    if x is not (b, h, w, c) floating point.
    """

    channels: int = 64
    stages: int = 2
    width: int = 128
    blocks: int = 2
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Shaped[ArrayLike, "b *event"]) -> Float[Array, "b h w channels"]:
        """A vector for every place."""
        x = jnp.asarray(x)
        height, width = image_size(x)
        if self.stages < 1 or height % 2**self.stages or width % 2**self.stages:
            raise ValueError(f"{self.stages} stages halve both sides as often, at least once: got {height}×{width}")
        for i in range(self.stages):
            x = nn.relu(nn.Conv(self.width, (4, 4), strides=2, dtype=self.dtype, name=f"down_{i}")(x))
        x = nn.Conv(self.width, (3, 3), dtype=self.dtype, name="conv")(x)
        x = _Residuals(self.blocks, self.dtype, name="residuals")(x)
        return nn.Dense(self.channels, name="out")(x.astype(jnp.promote_types(x.dtype, jnp.float32)))


class SpatialDecoder(nn.Module):
    """`SpatialEncoder` backwards, by transposed convolutions of 4×4 and stride 2.

    `net.apply(params, z)` maps z (b, h, w, d) to logits or means (b, h·2^stages, w·2^stages, channels), unbounded,
    float32 at least; with learned_scale to a `Gaussian` of mean and scale, of that shape each, the scale in [e⁻⁷, e⁷].
    Raises ValueError unless stages ≥ 1, and if z is not (b, h, w, d) floating point.
    """

    channels: int = 1
    stages: int = 2
    width: int = 128
    blocks: int = 2
    learned_scale: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "b *event"]) -> Float[Array, "b h w channels"] | Gaussian:
        """What is said of every image."""
        image_size(z)
        if self.stages < 1:
            raise ValueError(f"need at least one stage, got {self.stages}")
        x = nn.Conv(self.width, (3, 3), dtype=self.dtype, name="conv")(z)
        x = _Residuals(self.blocks, self.dtype, name="residuals")(x)
        for i in range(self.stages - 1):
            x = nn.relu(UpConv(self.width, dtype=self.dtype, name=f"up_{i}")(x))
        out = UpConv(self.channels * (2 if self.learned_scale else 1), name="out")
        x = out(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
        return mean_and_scale(x) if self.learned_scale else x


class _Residuals(nn.Module):
    """x + 1×1(relu(3×3(relu(x)))), `blocks` times over, then relu; the hidden width is a quarter of x's."""

    blocks: int
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        for i in range(self.blocks):
            hidden = nn.Conv(max(width // 4, 1), (3, 3), dtype=self.dtype, name=f"first_{i}")(nn.relu(x))
            x = x + nn.Dense(width, dtype=self.dtype, name=f"second_{i}")(nn.relu(hidden))
        return nn.relu(x)

"""A convolutional encoder and decoder whose latents form an image, for quantised or sparse codes."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.core import as_float
from jaxgen.distributions import Gaussian
from jaxgen.nets.convolution import Conv
from jaxgen.nets.gaussian_head import split_mean_and_scale
from jaxgen.nets.resampling import UpConv, image_size


class SpatialEncoder(nn.Module):
    """4×4 convolutions of stride 2, a 3×3 convolution, and residual blocks.

    `net.apply(params, x)` maps images (b, h, w, c) to (b, h/2^stages, w/2^stages, channels), in float32 or higher.

    Args:
        channels: channels of the latent image.
        stages: number of times both sides are halved, at least 1.
        width: channels of the convolutions.
        blocks: number of residual blocks.
        dtype: type that all but the last layer compute in.

    Raises:
        ValueError: unless stages >= 1, 2^stages divides both sides, and x is (b, h, w, c) floating point.

    Reference:
        van den Oord et al. 2017, "Neural discrete representation learning", §4.1.
    """

    channels: int = 64
    stages: int = 2
    width: int = 128
    blocks: int = 2
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Shaped[ArrayLike, "b *event"]) -> Float[Array, "b h w channels"]:
        """Encode x (b, h, w, c)."""
        x = jnp.asarray(x)
        height, width = image_size(x)
        if self.stages < 1 or height % 2**self.stages or width % 2**self.stages:
            raise ValueError(f"{self.stages} stages halve both sides as often, at least once: got {height}×{width}")
        for i in range(self.stages):
            x = nn.relu(Conv(self.width, (4, 4), strides=2, dtype=self.dtype, name=f"down_{i}")(x))
        x = Conv(self.width, (3, 3), dtype=self.dtype, name="conv")(x)
        x = _ResidualBlocks(self.blocks, self.dtype, name="residuals")(x)
        return nn.Dense(self.channels, name="out")(as_float(x))


class SpatialDecoder(nn.Module):
    """The reverse of `SpatialEncoder`, with transposed 4×4 convolutions of stride 2.

    `net.apply(params, z)` maps latents (b, h, w, d) to unbounded logits or means (b, h·2^stages, w·2^stages, channels),
    in float32 or higher.

    Args:
        channels: channels of the image.
        stages: number of times both sides are doubled, at least 1.
        width: channels of the convolutions.
        blocks: number of residual blocks.
        learned_scale: return a `Gaussian` with a learned scale in [e⁻⁷, e⁷] instead of an array.
        dtype: type that all but the last layer compute in.

    Raises:
        ValueError: unless stages >= 1 and z is (b, h, w, d) floating point.
    """

    channels: int = 1
    stages: int = 2
    width: int = 128
    blocks: int = 2
    learned_scale: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "b *event"]) -> Float[Array, "b h w channels"] | Gaussian:
        """Decode z (b, h, w, d)."""
        image_size(z)
        if self.stages < 1:
            raise ValueError(f"need at least one stage, got {self.stages}")
        x = Conv(self.width, (3, 3), dtype=self.dtype, name="conv")(z)
        x = _ResidualBlocks(self.blocks, self.dtype, name="residuals")(x)
        for i in range(self.stages - 1):
            x = nn.relu(UpConv(self.width, dtype=self.dtype, name=f"up_{i}")(x))
        x = UpConv(self.channels * (2 if self.learned_scale else 1), name="out")(as_float(x))
        return split_mean_and_scale(x) if self.learned_scale else x


class _ResidualBlocks(nn.Module):
    """Blocks x + conv1×1(relu(conv3×3(relu(x)))), then relu; the hidden width is a quarter of x's."""

    blocks: int
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        for i in range(self.blocks):
            hidden = Conv(max(width // 4, 1), (3, 3), dtype=self.dtype, name=f"first_{i}")(nn.relu(x))
            x = x + nn.Dense(width, dtype=self.dtype, name=f"second_{i}")(nn.relu(hidden))
        return nn.relu(x)

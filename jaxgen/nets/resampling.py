"""Pooling, upsampling and transposed convolutions, and the check of image inputs."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.convolution import Conv


def image_size(x: Shaped[ArrayLike, "..."]) -> tuple[int, int]:
    """Return the height and width of images (b, h, w, c); raise ValueError unless they are 4-D and floating point."""
    shape, dtype = jnp.shape(x), jnp.result_type(x)
    if len(shape) != 4:
        raise ValueError(f"expected a batch of images (batch, height, width, channels), got shape {shape}")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"expected floating-point images, got {dtype}; convert them, for instance x / 127.5 - 1")
    return shape[1], shape[2]


def average_pool(x: Float[Array, "b h w c"], factor: int = 2) -> Float[Array, "b h2 w2 c"]:
    """Average factor×factor blocks; a side that the factor does not divide is first extended by its edge pixels."""
    height, width = -(-x.shape[1] // factor), -(-x.shape[2] // factor)
    x = jnp.pad(x, ((0, 0), (0, height * factor - x.shape[1]), (0, width * factor - x.shape[2]), (0, 0)), mode="edge")
    # The gradient of a reshape and a mean is a broadcast; that of reduce_window would be a scatter.
    return x.reshape(x.shape[0], height, factor, width, factor, x.shape[3]).mean((2, 4))


def upsample_nearest(x: Float[Array, "b h w c"], factor: int = 2) -> Float[Array, "b h2 w2 c"]:
    """Repeat every pixel factor×factor times."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (batch, height, factor, width, factor, channels))
    return x.reshape(batch, height * factor, width * factor, channels)


def space_to_depth(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c2"]:
    """Move factor×factor blocks of pixels, row by row, into channels; the inverse of `depth_to_space`.

    Raises:
        ValueError: unless `factor` is at least 1 and divides both sides.
    """
    batch, height, width, channels = x.shape
    if factor < 1 or height % factor or width % factor:
        raise ValueError(f"blocks of {factor}×{factor} pixels do not fill an image of {height}×{width}")
    x = x.reshape(batch, height // factor, factor, width // factor, factor, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // factor, width // factor, factor**2 * channels)


def depth_to_space(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c2"]:
    """Move the channels of every pixel into a block of factor×factor pixels (Shi et al. 2016)."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, factor, factor, channels // factor**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height * factor, width * factor, channels // factor**2)


class TransposedConv(nn.Module):
    """Transposed convolution whose kernel and stride are both `factor`: one matrix product and a reshape."""

    features: int
    factor: tuple[int, int] = (2, 2)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 features"]:
        """Map (b, h, w, c) to (b, h·factor[0], w·factor[1], features)."""
        batch, height, width, _ = x.shape
        rows, columns = self.factor
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x = nn.DenseGeneral((rows, columns, self.features), use_bias=False, dtype=self.dtype, name="blocks")(x)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * rows, width * columns, self.features)
        return x + bias.astype(x.dtype)


class UpConv(nn.Module):
    """Transposed 4×4 convolution of stride 2 with "same" padding: (b, h, w, c) to (b, 2h, 2w, features).

    Every output pixel depends on 2×2 inputs, so the four pixels of an output block are four groups of channels of one
    2×2 convolution. This avoids a dilated input, whose gradient is slow on a CPU. A kernel K (4, 4, c, features) of
    `nn.ConvTranspose` is a kernel (2, 2, c, 2, 2, features) here, with K[2r + a, 2s + b] at [r, s, :, a, b].
    """

    features: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 features"]:
        """Map (b, h, w, c) to (b, 2h, 2w, features)."""
        batch, height, width, _ = x.shape
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        phases = Conv(4 * self.features, (2, 2), use_bias=False, dtype=self.dtype, name="phases")
        # One side is padded here and the other by the layer: padding both in the layer is much slower on a CPU.
        x = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))
        y = phases(x).reshape(batch, height + 1, width + 1, 2, 2, self.features)
        # (b, h, w, 2, features) for the upper and the lower row of every block
        rows = [jnp.stack([y[:, a : a + height, b : b + width, a, b] for b in (0, 1)], axis=3) for a in (0, 1)]
        y = jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, self.features)
        return y + bias.astype(y.dtype)

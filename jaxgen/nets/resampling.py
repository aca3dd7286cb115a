"""Image sizes: what a network accepts, and going down and up by factors."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped


def image_size(x: Shaped[ArrayLike, "..."]) -> tuple[int, int]:
    """Height and width of a batch of images (b, h, w, c).

    Raises ValueError if x is not four-dimensional or not floating point.
    """
    if x.ndim != 4:
        raise ValueError(f"expected a batch of images (batch, height, width, channels), got shape {x.shape}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"expected floating-point images, got {x.dtype}; convert them, for instance x / 127.5 - 1")
    return x.shape[1], x.shape[2]


def average_pool(x: Float[Array, "b h w c"], factor: int = 2) -> Float[Array, "b h2 w2 c"]:
    """Mean over factor×factor blocks; a side that the factor does not divide is first extended by its edge pixels."""
    height, width = -(-x.shape[1] // factor), -(-x.shape[2] // factor)
    x = jnp.pad(x, ((0, 0), (0, height * factor - x.shape[1]), (0, width * factor - x.shape[2]), (0, 0)), mode="edge")
    # A reshape and a mean: differentiates into a broadcast, where reduce_window would scatter.
    return x.reshape(x.shape[0], height, factor, width, factor, x.shape[3]).mean((2, 4))


def upsample_nearest(x: Float[Array, "b h w c"], factor: int = 2) -> Float[Array, "b h2 w2 c"]:
    """Repeat every pixel factor×factor times."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (batch, height, factor, width, factor, channels))
    return x.reshape(batch, height * factor, width * factor, channels)


def space_to_depth(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c2"]:
    """Make factor×factor blocks of pixels the channels of one, row by row; the inverse of `depth_to_space`.

    Raises ValueError unless `factor` divides both sides.
    """
    batch, height, width, channels = x.shape
    if factor < 1 or height % factor or width % factor:
        raise ValueError(f"blocks of {factor}×{factor} pixels do not fill an image of {height}×{width}")
    x = x.reshape(batch, height // factor, factor, width // factor, factor, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // factor, width // factor, factor**2 * channels)


def depth_to_space(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c2"]:
    """Spread the channels of every pixel over factor×factor pixels (Shi et al. 2016)."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, factor, factor, channels // factor**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height * factor, width * factor, channels // factor**2)


class TransposedConv(nn.Module):
    """Transposed convolution whose kernel and stride are both `factor`, so every pixel becomes its own block.

    Without overlaps it is one matrix product and a reshape: no dilated input, no wasted multiplications.
    """

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

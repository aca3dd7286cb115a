"""The convolutional encoder and decoder of the β-VAE literature."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.core import as_float
from jaxgen.distributions import Gaussian
from jaxgen.nets.convolution import Conv
from jaxgen.nets.gaussian_head import GaussianHead, flatten_latents, split_mean_and_scale
from jaxgen.nets.resampling import UpConv, image_size

_WIDTHS, _KERNELS = (32, 32, 64, 64), (4, 4, 2, 2)


class ConvEncoder(nn.Module):
    """Up to four convolutions of stride 2, a hidden layer, and a `Gaussian` over latents.

    `net.apply(params, x)` maps images (b, h, w, c) to a `Gaussian` (b, latent_dim), in float32 or higher. The
    convolutions have 32, 32, 64 and 64 channels and kernels of 4, 4, 2 and 2 pixels. Images smaller than 64×64 use only
    those that halve them evenly to 4×4 or more: 3 for 32×32, 2 for 28×28 and 16×16, 1 for 8×8.

    Args:
        latent_dim: number of latents.
        hidden: width of the hidden layer.
        dtype: type that convolutions and the hidden layer compute in.

    Raises:
        ValueError: if an image cannot be halved once, or x is not (b, h, w, c) floating point.

    Reference:
        Higgins et al. 2017, table 1 (chairs), for 64×64 as in Locatello et al. 2019.
    """

    latent_dim: int = 10
    hidden: int = 256
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Shaped[ArrayLike, "b *event"]) -> Gaussian:
        """Encode x (b, h, w, c)."""
        x = jnp.asarray(x)
        for i in range(_num_halvings(*image_size(x))):
            kernel = (_KERNELS[i], _KERNELS[i])
            x = nn.relu(Conv(_WIDTHS[i], kernel, strides=2, dtype=self.dtype, name=f"conv_{i}")(x))
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="hidden")(x.reshape(x.shape[0], -1)))
        return GaussianHead(self.latent_dim, name="posterior")(x)


class ConvDecoder(nn.Module):
    """The reverse of `ConvEncoder`: two hidden layers, then transposed 4×4 convolutions of stride 2.

    `net.apply(params, z)` maps latents (b, *d) to unbounded logits or means (b, *event), in float32 or higher.

    Args:
        event: (height, width, channels) of an image; the sizes that `ConvEncoder` accepts.
        hidden: width of the first hidden layer.
        learned_scale: return a `Gaussian` with a learned scale in [e⁻⁷, e⁷] instead of an array.
        dtype: type that all but the last layer compute in.

    Raises:
        ValueError: if `event` is not such an image, or z is not floating point or has no axis beyond the batch.

    Reference:
        Locatello et al. 2019, for 64×64.
    """

    event: Sequence[int]
    hidden: int = 256
    learned_scale: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "b *d"]) -> Float[Array, "b *event"] | Gaussian:
        """Decode z (b, *d)."""
        if len(self.event) != 3:
            raise ValueError(f"expected an event (height, width, channels), got {tuple(self.event)}")
        height, width, channels = self.event
        stages = _num_halvings(height, width)
        first = (height >> stages, width >> stages, _WIDTHS[stages - 1])
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="hidden")(flatten_latents(z)))
        x = nn.relu(nn.Dense(math.prod(first), dtype=self.dtype, name="grid")(x)).reshape(len(z), *first)
        for i in reversed(range(1, stages)):
            x = nn.relu(UpConv(_WIDTHS[i - 1], dtype=self.dtype, name=f"conv_{i}")(x))
        x = UpConv(channels * (2 if self.learned_scale else 1), name="out")(as_float(x))
        return split_mean_and_scale(x) if self.learned_scale else x


def _num_halvings(height: int, width: int) -> int:
    """Count how many of the four convolutions an image has room for."""
    count = 0
    while count < len(_WIDTHS) and height % 2 == width % 2 == 0 and min(height, width) >= 8:
        height, width, count = height // 2, width // 2, count + 1
    if count == 0:
        raise ValueError(f"images of {height}×{width} cannot be halved to 4×4 or more: take sides even and at least 8")
    return count

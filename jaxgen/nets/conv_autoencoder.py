"""The convolutional encoder and decoder of the β-VAE literature."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.distributions import Gaussian
from jaxgen.nets.gaussian_head import GaussianHead, latent_vectors, mean_and_scale
from jaxgen.nets.resampling import image_size
from jaxgen.nets.up_conv import UpConv

_WIDTHS, _KERNELS = (32, 32, 64, 64), (4, 4, 2, 2)


class ConvEncoder(nn.Module):
    """Convolutions 32 and 32 of 4×4, 64 and 64 of 2×2, of stride 2, a hidden layer, then a Gaussian (b, latent_dim).

    `net.apply(params, x)` maps images x (b, h, w, c) to a `Gaussian`, float32 at least. For 64×64 it is the encoder of
    Higgins et al. 2017 (table 1, chairs) as Locatello et al. 2019 have it; of other sizes it keeps the convolutions
    that halve them evenly to 4×4 or more: 3 for 32×32, 2 for 28×28 and 16×16, 1 for 8×8.
    Raises ValueError for images that cannot be halved so once, and if x is not (b, h, w, c) floating point.
    """

    latent_dim: int = 10
    hidden: int = 256
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Shaped[ArrayLike, "b *event"]) -> Gaussian:
        """The Gaussian of every image."""
        x = jnp.asarray(x)
        for i in range(_halvings(*image_size(x))):
            kernel = (_KERNELS[i], _KERNELS[i])
            x = nn.relu(nn.Conv(_WIDTHS[i], kernel, strides=2, dtype=self.dtype, name=f"conv_{i}")(x))
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="hidden")(x.reshape(x.shape[0], -1)))
        return GaussianHead(self.latent_dim, name="posterior")(x)


class ConvDecoder(nn.Module):
    """`ConvEncoder` backwards: two hidden layers, then transposed convolutions of 4×4 and stride 2 up to the event.

    `net.apply(params, z)` maps z (b, *d) to logits or means (b, *event), event = (h, w, c), unbounded, float32 at
    least; with learned_scale to a `Gaussian` of mean and scale, each (b, *event), the scale in [e⁻⁷, e⁷]. For 64×64 it
    is the decoder of Locatello et al. 2019; other sizes as for the encoder.
    Raises ValueError for an event that is not such an image, and for z that is not floating point or has no axis beyond
    the batch.
    """

    event: Sequence[int]
    hidden: int = 256
    learned_scale: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "b *d"]) -> Float[Array, "b *event"] | Gaussian:
        """What is said of every image."""
        if len(self.event) != 3:
            raise ValueError(f"expected an event (height, width, channels), got {tuple(self.event)}")
        height, width, channels = self.event
        stages = _halvings(height, width)
        first = (height >> stages, width >> stages, _WIDTHS[stages - 1])
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="hidden")(latent_vectors(z)))
        x = nn.relu(nn.Dense(math.prod(first), dtype=self.dtype, name="grid")(x)).reshape(len(z), *first)
        for i in reversed(range(1, stages)):
            x = nn.relu(UpConv(_WIDTHS[i - 1], dtype=self.dtype, name=f"conv_{i}")(x))
        out = UpConv(channels * (2 if self.learned_scale else 1), name="out")
        x = out(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
        return mean_and_scale(x) if self.learned_scale else x


def _halvings(height: int, width: int) -> int:
    """How many of the four convolutions an image has room for."""
    count = 0
    while count < len(_WIDTHS) and height % 2 == width % 2 == 0 and min(height, width) >= 8:
        height, width, count = height // 2, width // 2, count + 1
    if count == 0:
        raise ValueError(
            f"images of {height}×{width} cannot be halved to 4×4 or more: use sides that are even and at least 8"
        )
    return count

"""A residual energy for images."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.core import as_float
from jaxgen.nets.convolution import Conv
from jaxgen.nets.gan_layers import embedded_time, normalised, num_halvings
from jaxgen.nets.gan_residual import DownBlock
from jaxgen.nets.resampling import image_size


class ResidualEnergy(nn.Module):
    """Residual blocks with SiLU that halve an image down to 4×4 (7×7 for 28×28), the sum over pixels, a linear layer.

    `net.apply(params, x)` maps images (b, h, w, c) to energies (b,), in float32 or higher. An energy of noised images
    is initialised and called with their times, `net.apply(params, x, t)`. There are no normalisation layers.
    `spectral_norm` adds the collection "batch_stats", which is the `energy_state` of `ebm.maximum_likelihood`; see
    `DCGANCritic`.

    Args:
        channels: channels at the full size; each smaller size has twice as many, up to `max_channels`.
        max_channels: most channels of a layer.
        spectral_norm: divide each layer's kernel by an estimate of its largest singular value.
        dtype: type that the convolutions compute in.

    Raises:
        ValueError: if x is not (b, h, w, c) floating point with sides that can be halved to 4 or more, or t has another
            shape than () or (b,).

    Reference:
        Du & Mordatch 2019, appendix; Gao et al. 2021, appendix B.
    """

    channels: int = 64
    max_channels: int = 256
    spectral_norm: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Shaped[ArrayLike, "b *event"], t: Shaped[ArrayLike, "..."] | None = None, *, update_stats: bool = False
    ) -> Float[Array, " b"]:
        """Evaluate the energy at x (b, h, w, c), and at their times t, () or (b,), in [0, 1]."""
        x = jnp.asarray(x)
        stages = num_halvings(*image_size(x))
        embedding = embedded_time(t, 4 * self.channels, len(x))
        widths = [min(self.channels << i, self.max_channels) for i in range(stages + 1)]

        def apply(layer, x):
            return normalised(layer, x, self.spectral_norm, update_stats)

        x = apply(Conv(widths[0], (3, 3), dtype=self.dtype, name="in"), x)
        for i in range(stages):
            block = DownBlock(widths[i + 1], self.spectral_norm, self.dtype, nn.silu, name=f"block_{i}")
            x = block(x, embedding, update_stats)
        x = nn.silu(apply(Conv(widths[-1], (3, 3), dtype=self.dtype, name="last"), nn.silu(x)))
        return apply(nn.Dense(1, name="out"), as_float(x).sum((1, 2)))[:, 0]

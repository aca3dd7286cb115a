"""A residual energy for images."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.gan_layers import normalised
from jaxgen.nets.gan_residual import residual_features


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
        features = residual_features(self, jnp.asarray(x), t, nn.silu, 0, update_stats)
        return normalised(nn.Dense(1, name="out"), features.sum((1, 2)), self.spectral_norm, update_stats)[:, 0]

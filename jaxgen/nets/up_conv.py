"""The transposed convolution of convolutional decoders, by what it computes."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float


class UpConv(nn.Module):
    """Transposed convolution of 4×4 and stride 2, "same" padding: (b, h, w, c) to (b, 2h, 2w, features).

    Every output pixel sees 2×2 inputs, so the four pixels of a block are four channels of one 2×2 convolution: no
    dilated input, whose gradient takes XLA's CPU backend several times as long. A kernel (4, 4, c, features) of
    `nn.ConvTranspose` is one (2, 2, c, 2, 2, features) here, entry (2r + a, 2s + b) of it at (r, s, :, a, b).
    """

    features: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 features"]:
        """Evaluate the layer."""
        batch, height, width, _ = x.shape
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        phases = nn.Conv(4 * self.features, (2, 2), use_bias=False, dtype=self.dtype, name="phases")
        # one side is padded here and the other by the layer: told of both, XLA's CPU backend is many times slower
        x = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))
        y = phases(x).reshape(batch, height + 1, width + 1, 2, 2, self.features)
        # (b, h, w, 2, features) for the upper and the lower row of every block
        rows = [jnp.stack([y[:, a : a + height, b : b + width, a, b] for b in (0, 1)], axis=3) for a in (0, 1)]
        y = jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, self.features)
        return y + bias.astype(y.dtype)

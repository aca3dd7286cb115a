"""A small network that reads texts of a fixed length."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.normalization import GroupNorm
from jaxgen.nets.resampling import average_pool, image_size


class TextRecogniser(nn.Module):
    """3×3 convolution, GroupNorm, SiLU and 2× pooling per width, then two linear layers over all that is left.

    `net.apply(params, x)` maps images x (b, h, w, c) to logits (b, length, num_tokens), those of position j for the
    j-th character. The linear layers tie the parameters to one image size.
    Raises ValueError if x is not (b, h, w, c) floating point.
    """

    num_tokens: int
    length: int
    hidden: int = 256
    widths: Sequence[int] = (32, 64, 64)

    @nn.compact
    def __call__(self, x: Shaped[ArrayLike, "b *event"]) -> Float[Array, "b length num_tokens"]:
        """Logits (b, length, num_tokens), float32."""
        x = jnp.asarray(x)
        image_size(x)
        x = x.astype(jnp.float32)
        for i, width in enumerate(self.widths):
            x = average_pool(nn.silu(GroupNorm(name=f"norm_{i}")(nn.Conv(width, (3, 3), name=f"conv_{i}")(x))))
        x = nn.silu(nn.Dense(self.hidden, name="hidden")(x.reshape(x.shape[0], -1)))
        return nn.DenseGeneral((self.length, self.num_tokens), name="read")(x)

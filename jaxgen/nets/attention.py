"""Self-attention over the pixels of a feature map."""

import flax.linen as nn
import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgen.nets.normalization import GroupNorm, largest_divisor


class SelfAttention(nn.Module):
    """Residual multi-head attention among all pixels, starting as the identity (Dhariwal & Nichol 2021, §3).

    Each head has the largest width up to `head_channels` that divides the channels. The softmax is float32.
    """

    head_channels: int = 64
    max_groups: int = 32
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Attend within each image of x (b, h, w, c); costs (h·w)² per image."""
        batch, height, width, channels = x.shape
        per_head = largest_divisor(channels, self.head_channels)
        hidden = GroupNorm(self.max_groups, dtype=self.dtype, name="norm")(x).reshape(batch, height * width, channels)
        qkv = nn.DenseGeneral((3, channels // per_head, per_head), dtype=self.dtype, name="qkv")(hidden)
        hidden = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]).reshape(x.shape)
        out = nn.Dense(channels, kernel_init=nn.initializers.zeros, dtype=self.dtype, name="out")
        return x + out(hidden)

"""Attention of the pixels of a feature map, to each other or to a sequence."""

import flax.linen as nn
import jax
import jax.numpy as jnp
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


class CrossAttention(nn.Module):
    """Residual multi-head attention of every pixel to the vectors of a sequence, starting as the identity.

    Pixels ask with their features and their place, tokens answer (Rombach et al. 2022, §3.3). Heads and softmax are as
    in `SelfAttention`.
    """

    head_channels: int = 64
    max_groups: int = 32
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], sequence: Float[Array, "b length d"]) -> Float[Array, "b h w c"]:
        """Attend from x (b, h, w, c) to sequence (b, length, d); costs h·w·length per image."""
        batch, height, width, channels = x.shape
        per_head = largest_divisor(channels, self.head_channels)
        heads = channels // per_head
        hidden = GroupNorm(self.max_groups, dtype=self.dtype, name="norm")(x).reshape(batch, height * width, channels)
        # A convolution hardly knows where it is, but which character to draw depends on that before all else.
        place = nn.Dense(channels, use_bias=False, dtype=self.dtype, name="place")(pixel_places(height, width))
        queries = nn.DenseGeneral((heads, per_head), dtype=self.dtype, name="queries")(hidden + place)
        answers = nn.DenseGeneral((2, heads, per_head), dtype=self.dtype, name="keys_values")(sequence)
        hidden = jax.nn.dot_product_attention(queries, answers[:, :, 0], answers[:, :, 1]).reshape(x.shape)
        out = nn.Dense(channels, kernel_init=nn.initializers.zeros, dtype=self.dtype, name="out")
        return x + out(hidden)


def pixel_places(height: int, width: int, octaves: int = 4) -> Float[Array, "places waves"]:
    """Sines and cosines of each pixel's row and column, as fractions of the sides, over octaves from half a period."""
    frequencies = jnp.pi * 2.0 ** jnp.arange(octaves)

    def waves(n):
        angles = ((jnp.arange(n) + 0.5) / n)[:, None] * frequencies
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)

    rows, columns = jnp.repeat(waves(height), width, axis=0), jnp.tile(waves(width), (height, 1))
    return jnp.concatenate([rows, columns], axis=-1)

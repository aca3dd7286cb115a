"""Attention from the pixels of a feature map to each other or to a sequence."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgen.nets.normalization import GroupNorm, largest_divisor


class SelfAttention(nn.Module):
    """Residual multi-head attention among all pixels; it is the identity at initialisation.

    Args:
        head_channels: each head has the largest width up to this that divides the channels.
        max_groups: largest number of groups of the GroupNorm.
        dtype: type that the projections compute in. The softmax is float32.

    Reference:
        Dhariwal & Nichol 2021, §3.
    """

    head_channels: int = 64
    max_groups: int = 32
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Attend within each image of x (b, h, w, c), at a cost of (h·w)² per image."""
        batch, height, width, channels = x.shape
        per_head = largest_divisor(channels, self.head_channels)
        hidden = GroupNorm(self.max_groups, dtype=self.dtype, name="norm")(x).reshape(batch, height * width, channels)
        qkv = nn.DenseGeneral((3, channels // per_head, per_head), dtype=self.dtype, name="qkv")(hidden)
        hidden = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]).reshape(x.shape)
        out = nn.Dense(channels, kernel_init=nn.initializers.zeros, dtype=self.dtype, name="out")
        return x + out(hidden)


class CrossAttention(nn.Module):
    """Residual multi-head attention from pixels to a sequence; it is the identity at initialisation.

    The queries come from the features and the position of a pixel. Arguments are those of `SelfAttention`.

    Reference:
        Rombach et al. 2022, §3.3.
    """

    head_channels: int = 64
    max_groups: int = 32
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], sequence: Float[Array, "b length d"]) -> Float[Array, "b h w c"]:
        """Attend from x (b, h, w, c) to sequence (b, length, d), at a cost of h·w·length per image."""
        batch, height, width, channels = x.shape
        per_head = largest_divisor(channels, self.head_channels)
        heads = channels // per_head
        hidden = GroupNorm(self.max_groups, dtype=self.dtype, name="norm")(x).reshape(batch, height * width, channels)
        # Which character to draw depends on the position of a pixel, which convolutions hardly see.
        position = nn.Dense(channels, use_bias=False, dtype=self.dtype, name="place")(position_features(height, width))
        queries = nn.DenseGeneral((heads, per_head), dtype=self.dtype, name="queries")(hidden + position)
        keys_values = nn.DenseGeneral((2, heads, per_head), dtype=self.dtype, name="keys_values")(sequence)
        hidden = jax.nn.dot_product_attention(queries, keys_values[:, :, 0], keys_values[:, :, 1]).reshape(x.shape)
        out = nn.Dense(channels, kernel_init=nn.initializers.zeros, dtype=self.dtype, name="out")
        return x + out(hidden)


def position_features(height: int, width: int, octaves: int = 4) -> Float[Array, "pixels features"]:
    """Compute sines and cosines of each pixel's relative row and column, at frequencies π·2^k, k < octaves."""
    frequencies = jnp.pi * 2.0 ** jnp.arange(octaves)

    def waves(n):
        angles = ((jnp.arange(n) + 0.5) / n)[:, None] * frequencies
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)

    rows, columns = jnp.repeat(waves(height), width, axis=0), jnp.tile(waves(width), (height, 1))
    return jnp.concatenate([rows, columns], axis=-1)

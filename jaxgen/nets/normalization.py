"""Group normalisation whose scale and shift can depend on the example."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float


def largest_divisor(n: int, at_most: int) -> int:
    """The largest divisor of n that is no larger than `at_most` (at least 1)."""
    return max(d for d in range(1, max(1, min(n, at_most)) + 1) if n % d == 0)


class GroupNorm(nn.Module):
    """Group normalisation (Wu & He 2018), if asked adaptive: GN(x)·(1 + scale) + shift (Dhariwal & Nichol 2021, eq. 3).

    Any number of channels: the groups are the most that divide it, at most `max_groups`, of at least four channels.
    Statistics and arithmetic are float32; the result has `dtype` (default: that of x).
    """

    max_groups: int = 32
    epsilon: float = 1e-5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b *space c"],
        scale: Float[Array, "b c"] | None = None,
        shift: Float[Array, "b c"] | None = None,
    ) -> Float[Array, "b *space c"]:
        """Normalise x (b, …, c); scale and shift (b, c) modulate it per example."""
        batch, channels = x.shape[0], x.shape[-1]
        groups = largest_divisor(channels, min(self.max_groups, channels // 4))
        gain = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))

        # Moments per channel, then merged per group on (b, c) arrays: the long sums stay contiguous, which XLA's CPU
        # backend runs twice as fast as sums over (space, c/groups), and nothing cancels as in E[x²] − E[x]².
        out_dtype = self.dtype or x.dtype
        x = x.astype(jnp.float32)
        space = tuple(range(1, x.ndim - 1))
        channel_mean = x.mean(space, keepdims=True)
        channel_var = jnp.square(x - channel_mean).mean(space)
        channel_mean = channel_mean.reshape(batch, groups, -1)
        mean = channel_mean.mean(-1, keepdims=True)
        var = (channel_var.reshape(batch, groups, -1) + jnp.square(channel_mean - mean)).mean(-1, keepdims=True)

        gain = jnp.broadcast_to(gain, (batch, channels))
        bias = jnp.broadcast_to(bias, (batch, channels))
        if scale is not None:
            gain, bias = gain * (1 + scale), bias * (1 + scale)
        if shift is not None:
            bias = bias + shift
        gain = (gain.reshape(batch, groups, -1) * jax.lax.rsqrt(var + self.epsilon)).reshape(batch, channels)
        mean = jnp.broadcast_to(mean, channel_mean.shape).reshape(batch, channels)

        def per_pixel(a):
            return a.reshape(batch, *(1,) * len(space), channels)

        return ((x - per_pixel(mean)) * per_pixel(gain) + per_pixel(bias)).astype(out_dtype)

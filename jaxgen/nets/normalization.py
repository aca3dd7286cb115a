"""Group normalisation with an optional scale and shift per example."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float


def largest_divisor(n: int, at_most: int) -> int:
    """Find the largest divisor of n that is at most `at_most`; it is at least 1."""
    return max(d for d in range(1, max(1, min(n, at_most)) + 1) if n % d == 0)


class GroupNorm(nn.Module):
    """Group normalisation, optionally adaptive: GN(x)·(1 + scale) + shift.

    Any number of channels works: the number of groups is the largest up to `max_groups` that divides it and leaves at
    least four channels in a group. Statistics and arithmetic are float32.

    Args:
        max_groups: largest number of groups.
        epsilon: added to the variance.
        dtype: type of the result; None means that of x.

    Reference:
        Wu & He 2018; adaptive: Dhariwal & Nichol 2021, eq. 3.
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
        """Normalise x (b, …, c); scale and shift (b, c) are per example."""
        batch, channels = x.shape[0], x.shape[-1]
        groups = largest_divisor(channels, min(self.max_groups, channels // 4))
        gain = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))

        # Moments per channel, then merged per group: these sums are contiguous, which is faster on a CPU, and there is
        # no cancellation as in E[x²] − E[x]².
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

"""Depthwise convolutions as sums of shifted products, which XLA runs many times faster on a CPU than grouped ones."""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def depthwise_conv(x: Float[Array, "b h w c"], kernel: Float[Array, "k l 1 c"], stride: int = 1) -> Array:
    """Convolve each channel with its own kernel, padded as by "SAME".

    Args:
        x: images.
        kernel: one kernel for each channel.
        stride: step between the outputs, on both axes.

    Returns:
        Images (b, ⌈h/stride⌉, ⌈w/stride⌉, c).
    """
    edges, outs, counts = [(0, 0, 0)], [], []
    for side, width in zip(x.shape[1:3], kernel.shape[:2], strict=True):
        outs.append(-(-side // stride))
        counts.append(outs[-1] + (width - 1) // stride)  # strides that the kernel reaches
        before = max((outs[-1] - 1) * stride + width - side, 0) // 2
        edges.append((before, counts[-1] * stride - side - before, 0))
    x = lax.pad(x, jnp.zeros((), x.dtype), [*edges, (0, 0, 0)])
    # a slice of one phase is contiguous, and one of every stride-th pixel is not
    x = x.reshape(x.shape[0], counts[0], stride, counts[1], stride, x.shape[-1])
    total = jnp.zeros((), x.dtype)
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            (row, row_phase), (column, column_phase) = divmod(i, stride), divmod(j, stride)
            shifted = x[:, row : row + outs[0], row_phase, column : column + outs[1], column_phase]
            total = total + shifted * kernel[i, j, 0]
    return total


class DepthwiseConv(nn.Module):
    """A depthwise convolution with the parameters of `nn.Conv(features, feature_group_count=features)`, no bias."""

    kernel_size: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Array:
        """Convolve each channel."""
        shape = self.kernel_size, self.kernel_size, 1, x.shape[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        return depthwise_conv(x, kernel, self.stride)

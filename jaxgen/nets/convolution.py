"""The convolution of all networks."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgen.nets.conv_gradients import Window, output_p, plain_output

Sides = int | Sequence[int]
Padding = str | int | Sequence[int | Sequence[int]]


class Conv(nn.Module):
    """Convolution over one or two axes, channels last, whose gradients stay fast inside loops on CPUs.

    It has the parameters, initialisers and defaults of `flax.linen.Conv`: "kernel" (*kernel_size, c, features) and
    "bias" (features,). Its results are the same up to rounding.

    Args:
        features: number of output channels.
        kernel_size: sides of the kernel, one per spatial axis.
        strides: as in `convolve`, like `padding`, `input_dilation` and `kernel_dilation`.
        use_bias: add a bias.
        dtype: type to compute in; None means that of the input and the parameters.
        kernel_init: initialiser of the kernel.
        bias_init: initialiser of the bias.

    Raises:
        ValueError: as in `convolve`.
    """

    features: int
    kernel_size: Sequence[int]
    strides: Sides = 1
    padding: Padding = "SAME"
    input_dilation: Sides = 1
    kernel_dilation: Sides = 1
    use_bias: bool = True
    dtype: DTypeLike | None = None
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()
    bias_init: Callable[..., Array] = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *out features"]:
        """Map (b, *space, c) to (b, *out, features)."""
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", self.bias_init, (self.features,)) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = convolve(x, kernel, self.strides, self.padding, self.input_dilation, self.kernel_dilation)
        return y if bias is None else y + bias


def convolve(
    x: Float[Array, "b *space c"],
    kernel: Float[Array, "*size c features"],
    strides: Sides = 1,
    padding: Padding = "SAME",
    input_dilation: Sides = 1,
    kernel_dilation: Sides = 1,
) -> Float[Array, "b *out features"]:
    """Convolve x with a kernel, as `jax.lax.conv_general_dilated` does for channels last.

    XLA's CPU backend brings the axes of convolutions into the order of its fast code, but not inside loops such as
    `jax.lax.scan` (https://github.com/jax-ml/jax/issues/12868). The gradients that JAX derives have another order, and
    are slow there. On CPUs, the gradients of this function are written in the fast order. Elsewhere they are JAX's own.

    Args:
        x: inputs (b, *space, c) with one or two spatial axes.
        kernel: kernel (*size, c, features) of the same type.
        strides: steps of the window, one per axis or one for all.
        padding: "SAME", "VALID", or zeros to add at both sides: a number for all axes, or per axis a number or a pair
            (before, after).
        input_dilation: distances of the input's pixels, between which zeros are put.
        kernel_dilation: distances of the kernel's taps.

    Returns:
        Outputs (b, *out, features).

    Raises:
        ValueError: if shapes or types do not agree, a setting has a wrong number of entries, the kernel is larger than
            the padded input, or padding is "SAME" with `input_dilation` above 1.
    """
    axes = kernel.ndim - 2
    if axes not in (1, 2) or x.ndim != kernel.ndim or x.shape[-1] != kernel.shape[-2] or x.dtype != kernel.dtype:
        raise ValueError(
            "expected inputs (batch, *space, channels) and a kernel (*size, channels, features) of one type, with one "
            f"or two spatial axes, got {x.dtype}{x.shape} and {kernel.dtype}{kernel.shape}"
        )
    strides = _per_axis("strides", strides, axes)
    input_dilation = _per_axis("input_dilation", input_dilation, axes)
    kernel_dilation = _per_axis("kernel_dilation", kernel_dilation, axes)
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID") or (padding == "SAME" and max(input_dilation) > 1):
            raise ValueError(
                f"padding={padding!r} with input_dilation={input_dilation}: use 'VALID', numbers, or, where the input "
                "is not dilated, 'SAME'"
            )
        taps = [(k - 1) * d + 1 for k, d in zip(kernel.shape[:axes], kernel_dilation, strict=True)]
        padding = lax.padtype_to_pads(x.shape[1:-1], taps, strides, padding)
    else:
        padding = [(p, p) if isinstance(p, int) else p for p in _per_axis("padding", padding, axes)]
    window = Window(
        x.shape[1:-1],
        kernel.shape[:axes],
        strides,
        tuple((int(before), int(after)) for before, after in padding),
        input_dilation,
        kernel_dilation,
        jax.config.jax_default_matmul_precision,
    )
    if any(side < 1 for side in window.output_size):
        raise ValueError(
            f"a kernel of {window.kernel_size} does not fit into an input of {window.input_size}: {window}"
        )
    meshes = [jax.typeof(x).sharding.mesh, jax.typeof(kernel).sharding.mesh, jax.sharding.get_abstract_mesh()]
    if any(mesh.manual_axes or mesh.explicit_axes for mesh in meshes):
        # The type of an array says on which devices it lies there; only JAX's own convolution keeps that.
        return plain_output(x, kernel, window=window)
    return output_p.bind(x, kernel, window=window)


def _per_axis(name, value, axes):
    """Return one entry for each of the spatial axes."""
    value = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(value) != axes:
        raise ValueError(f"{name}={value}: expected one number, or one entry for each of {axes} spatial axes")
    return value

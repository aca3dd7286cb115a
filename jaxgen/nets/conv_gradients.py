"""A convolution and its gradients as primitives, which stay fast inside loops on CPUs."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

# A convolution y(x, k) has two gradients. Each is bilinear too, and the three are each other's transposes: they are the
# partial derivatives of one trilinear form, the sum of g · y(x, k). So three primitives give the derivatives of every
# order, in forward and in reverse mode.


class Window(NamedTuple):
    """Sizes and settings of a convolution, one entry per spatial axis, and its precision."""

    input_size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    input_dilation: tuple[int, ...]
    kernel_dilation: tuple[int, ...]
    precision: str | None = None

    @property
    def axes(self) -> zip:
        """(n, k, s, (before, after), e, d) for each spatial axis."""
        return zip(*self[:6], strict=True)

    @property
    def output_size(self) -> tuple[int, ...]:
        """Sides of the output."""
        return tuple(
            ((n - 1) * e + 1 + before + after - (k - 1) * d - 1) // s + 1
            for n, k, s, (before, after), e, d in self.axes
        )


def plain_output(x, kernel, *, window: Window):
    """Convolve x (b, *input, i) with a kernel (*kernel, i, o) to y (b, *output, o)."""
    space = "HW"[: len(window.strides)]
    numbers = (f"N{space}C", f"{space}IO", f"N{space}C")
    return lax.conv_general_dilated(x, kernel, *window[2:6], numbers, precision=window.precision)


def plain_input_gradient(g, kernel, *, window: Window):
    """Return the gradient (b, *input, i) of the sum of g · y, as JAX writes it, for g (b, *output, o) and a kernel."""
    x = jax.ShapeDtypeStruct((g.shape[0], *window.input_size, kernel.shape[-2]), g.dtype)
    return jax.linear_transpose(lambda x: plain_output(x, kernel, window=window), x)(g)[0]


def plain_kernel_gradient(x, g, *, window: Window):
    """Return the gradient (*kernel, i, o) of the sum of g · y, as JAX writes it, for x and g (b, *output, o)."""
    kernel = jax.ShapeDtypeStruct((*window.kernel_size, x.shape[-1], g.shape[-1]), g.dtype)
    return jax.linear_transpose(lambda kernel: plain_output(x, kernel, window=window), kernel)(g)[0]


def canonical_output(x, kernel, *, window: Window):
    """The same as `plain_output`, without negative padding."""
    if any(side < 0 for sides in window.padding for side in sides):
        cuts = [
            (min(before, 0), min(after, 0), e - 1)
            for (before, after), e in zip(window.padding, window.input_dilation, strict=True)
        ]
        x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *cuts, (0, 0, 0)])
        window = window._replace(
            input_size=x.shape[1:-1],
            padding=tuple((max(before, 0), max(after, 0)) for before, after in window.padding),
            input_dilation=(1,) * len(cuts),
        )
    return plain_output(x, kernel, window=window)


def canonical_input_gradient(g, kernel, *, window: Window):
    """The same as `plain_input_gradient`: convolve g, dilated by the strides, with the kernel turned around."""
    padding = []
    for (n, k, s, (before, _), e, d), size in zip(window.axes, window.output_size, strict=True):
        first = (k - 1) * d - before
        padding.append((first, (n - 1) * e + (k - 1) * d - (size - 1) * s - first))
    turned = window._replace(
        input_size=window.output_size,
        strides=window.input_dilation,
        padding=tuple(padding),
        input_dilation=window.strides,
    )
    space = range(len(window.strides))
    return canonical_output(g, jnp.flip(kernel, space).swapaxes(-1, -2), window=turned)


def canonical_kernel_gradient(x, g, *, window: Window):
    """The same as `plain_kernel_gradient`: convolve x with g as the kernel, with channels and examples exchanged."""
    padding = tuple(
        (before, (size - 1) * s + (k - 1) * d - (n - 1) * e - before)
        for (n, k, s, (before, _), e, d), size in zip(window.axes, window.output_size, strict=True)
    )
    exchanged = window._replace(
        kernel_size=window.output_size, strides=window.kernel_dilation, padding=padding, kernel_dilation=window.strides
    )
    gradient = canonical_output(x.swapaxes(0, -1), jnp.moveaxis(g, 0, -2), window=exchanged)
    return jnp.moveaxis(gradient, 0, -2)


def _primitive(name: str, shape: Callable, plain: Callable, canonical: Callable, axes: tuple) -> Primitive:
    """Make a primitive that is lowered to `canonical` on CPUs and to `plain` elsewhere.

    `axes` holds for each operand the axis that absorbs a mapped axis of this operand alone, and the result's axis that
    shows it.
    """
    primitive = Primitive(name)
    primitive.def_impl(plain)
    primitive.def_abstract_eval(lambda a, b, *, window: jax.core.ShapedArray(shape(a, b, window), a.dtype))
    mlir.register_lowering(primitive, mlir.lower_fun(plain, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(canonical, multiple_results=False), platform="cpu")

    def batch(operands, mapped, *, window):
        if None not in mapped:  # a convolution of groups
            return jax.vmap(partial(plain, window=window), mapped)(*operands), 0
        operands, which = list(operands), mapped.index(None) ^ 1
        axis, result_axis = axes[which]
        size = operands[which].shape[mapped[which]]
        operands[which] = _merge(operands[which], mapped[which], axis)
        return _split(primitive.bind(*operands, window=window), result_axis, size)

    batching.primitive_batchers[primitive] = batch
    return primitive


def _merge(x, source, axis):
    """Merge the axis `source` into another, which is the `axis`-th of the rest."""
    axis %= x.ndim - 1
    x = jnp.moveaxis(x, source, axis)
    return x.reshape(*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :])


def _split(x, axis, size):
    """Undo `_merge`; return where the axis of this size lies, too."""
    axis %= x.ndim
    return x.reshape(*x.shape[:axis], size, x.shape[axis] // size, *x.shape[axis + 1 :]), axis


output_p = _primitive(
    "conv",
    lambda x, kernel, window: (x.shape[0], *window.output_size, kernel.shape[-1]),
    plain_output,
    canonical_output,
    ((0, 0), (-1, -1)),
)
input_gradient_p = _primitive(
    "conv_input_gradient",
    lambda g, kernel, window: (g.shape[0], *window.input_size, kernel.shape[-2]),
    plain_input_gradient,
    canonical_input_gradient,
    ((0, 0), (-2, -1)),
)
kernel_gradient_p = _primitive(
    "conv_kernel_gradient",
    lambda x, g, window: (*window.kernel_size, x.shape[-1], g.shape[-1]),
    plain_kernel_gradient,
    canonical_kernel_gradient,
    ((-1, -2), (-1, -1)),
)

# The first argument of each rule is the cotangent of the result.
ad.defbilinear(
    output_p,
    lambda g, x, kernel, *, window: input_gradient_p.bind(g, kernel, window=window),
    lambda g, x, kernel, *, window: kernel_gradient_p.bind(x, g, window=window),
)
ad.defbilinear(
    input_gradient_p,
    lambda x, g, kernel, *, window: output_p.bind(x, kernel, window=window),
    lambda x, g, kernel, *, window: kernel_gradient_p.bind(x, g, window=window),
)
ad.defbilinear(
    kernel_gradient_p,
    lambda kernel, x, g, *, window: input_gradient_p.bind(g, kernel, window=window),
    lambda kernel, x, g, *, window: output_p.bind(x, kernel, window=window),
)

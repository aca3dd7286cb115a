"""Floating-point operations of matrix products and convolutions, counted in a function's program."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn


def matmul_flop(function: Callable[..., Any], *args: Any) -> int:
    """Count the operations of the matrix products and convolutions that a function runs.

    A product and its sum are two operations. Other operations are left out, as is usual for the utilisation of a
    device (MFU): they take time, but no unit of matrices. Products with the zeros of padding count, products with the
    zeros of a dilation do not.

    Args:
        function: a function that JAX can trace.
        *args: its arguments, or their shapes as `jax.ShapeDtypeStruct`.

    Raises:
        ValueError: if there are such operations in a loop whose number of rounds is not known before it runs.

    Reference:
        Chowdhery et al. 2022, "PaLM", appendix B.
    """
    return _flop(jax.make_jaxpr(function)(*args).jaxpr)


def _flop(jaxpr: Jaxpr) -> int:
    return sum(_of_operation(eqn) for eqn in jaxpr.eqns)


def _of_operation(eqn: JaxprEqn) -> int:
    match eqn.primitive.name:
        case "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            lengths = [eqn.invars[0].aval.shape[axis] for axis in contracted]
            return 2 * math.prod(lengths) * eqn.outvars[0].aval.size
        case "conv_general_dilated":
            kernel, out = eqn.invars[1].aval.shape, eqn.outvars[0].aval
            features, *_ = eqn.params["dimension_numbers"].rhs_spec
            products = out.size * math.prod(kernel) // kernel[features]
            return 2 * products // math.prod(eqn.params["lhs_dilation"])
        case "conv" | "conv_input_gradient" | "conv_kernel_gradient":
            return 2 * _products_of_convolution(eqn)
        case "cond":
            return max(_flop(branch.jaxpr) for branch in eqn.params["branches"])
        case "while":
            if any(_flop(inner) for inner in _inner(eqn)):
                raise ValueError("a while loop has no known number of rounds: count the function in it")
            return 0
        case "scan":
            return eqn.params["length"] * sum(map(_flop, _inner(eqn)))
        case _:
            return sum(map(_flop, _inner(eqn)))


def _products_of_convolution(eqn: JaxprEqn) -> int:
    """Products of `jaxgen.nets`' convolution and its two gradients: each has those of the other two."""
    window = eqn.params["window"]
    kernel = eqn.outvars[0] if eqn.primitive.name == "conv_kernel_gradient" else eqn.invars[1]
    *_, inputs, outputs = kernel.aval.shape
    taps = math.prod(window.output_size) * math.prod(window.kernel_size) // math.prod(window.input_dilation)
    return eqn.invars[0].aval.shape[0] * taps * inputs * outputs


def _inner(eqn: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs that an operation runs, such as that of a compiled function."""
    for value in eqn.params.values():
        for program in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(program, ClosedJaxpr):
                yield program.jaxpr
            elif isinstance(program, Jaxpr):
                yield program

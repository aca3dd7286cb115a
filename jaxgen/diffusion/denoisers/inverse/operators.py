"""Linear operators y = A x: functions (B, *event) -> (B, *measured) of each row alone.

JAX derives their transposes.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_at_least, check_positive, is_traced, safe_divide

Operator = Callable[[Array], Array]


def mask(observed: ArrayLike) -> Operator:
    """Inpainting: keep x where `observed` is true or 1, and set it to 0 elsewhere.

    A Aᵀ = I on the observed entries.

    Args:
        observed: one mask for all examples or one each; broadcasts against x (B, *event).

    Returns:
        The operator.
    """
    return lambda x: jnp.where(jnp.asarray(observed) != 0, x, 0)


def grayscale(weights: tuple[float, ...] = (0.299, 0.587, 0.114)) -> Operator:
    """Colour to grey: the weighted sum over the last axis, which is kept with size 1.

    A Aᵀ = ‖weights‖² I. The default weights are the luma of ITU-R BT.601, as in Pillow.

    Args:
        weights: one weight per channel.

    Returns:
        The operator. It raises ValueError when called with another number of channels.
    """

    def operator(x: Float[Array, "b *event"]) -> Float[Array, "b *measured"]:
        if x.shape[-1] != len(weights):
            raise ValueError(f"grayscale has {len(weights)} weights, one per channel, but x has {x.shape[-1]} channels")
        # not a matrix product: accelerators may round those
        return jnp.sum(x * jnp.asarray(weights, x.dtype), -1, keepdims=True)

    return operator


def average_pool(factor: int) -> Operator:
    """Down-sampling of images (B, h, w, c) by the mean over factor × factor pixels; A Aᵀ = I/factor².

    Args:
        factor: side of the pooled squares, at least 1.

    Returns:
        The operator. It raises ValueError when called with sides that factor does not divide.

    Raises:
        ValueError: if factor < 1.
    """
    check_at_least(1, factor=factor)

    def operator(x: Float[Array, "b h w c"]) -> Float[Array, "b small_h small_w c"]:
        b, h, w, c = x.shape
        if h % factor or w % factor:
            raise ValueError(f"average_pool({factor}) needs sides it divides, got {h}×{w}")
        return x.reshape(b, h // factor, factor, w // factor, factor, c).mean((2, 4))

    return operator


def blur(std: float) -> Operator:
    """Gaussian blur of images (B, h, w, c); at the edges the weights are rescaled to sum to 1.

    A Aᵀ is not a multiple of I, so use it with `pigdm` and `dps`.

    Args:
        std: standard deviation in pixels, positive.

    Returns:
        The operator.

    Raises:
        ValueError: if std is not positive and finite.
    """
    check_positive(std=std)

    def matrix(n: int, dtype: Any) -> Array:
        kernel = np.exp(-0.5 * (np.subtract.outer(np.arange(n), np.arange(n)) / std) ** 2)
        return jnp.asarray(kernel / kernel.sum(-1, keepdims=True), dtype)

    def operator(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        rows, columns = (matrix(n, x.dtype) for n in x.shape[1:3])
        return jnp.einsum("ih,bhwc,jw->bijc", rows, x, columns, precision=jax.lax.Precision.HIGHEST)

    return operator


def transpose(operator: Operator, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Operator:
    """The transpose Aᵀ of an operator, found by JAX.

    Args:
        operator: a linear operator.
        shape: shape of x, (B, *event).
        dtype: dtype of x.

    Returns:
        A function from measurements (B, *measured) to (B, *event).

    Raises:
        ValueError: if the operator is not linear.
    """
    struct = jax.ShapeDtypeStruct(shape, dtype)
    measured = jax.eval_shape(operator, struct)
    backwards = jax.linear_transpose(operator, struct)
    try:
        jax.eval_shape(backwards, measured)
    except (NotImplementedError, AssertionError, TypeError) as error:
        raise ValueError(f"the operator must be linear in x, for its transpose is needed; JAX says: {error}") from error
    return lambda y: backwards(y.astype(measured.dtype))[0]


def tight_frame_constant(operator: Operator, shape: tuple[int, ...], dtype: Any = jnp.float32) -> float | Array:
    """The c of an operator with A Aᵀ = c I on its range, whose rows are orthogonal and of equal length.

    A projection onto {x: A x = y} needs such an operator. The property is tested at one random x: A Aᵀ A x = c A x.

    Args:
        operator: a linear operator.
        shape: shape of x, (B, *event).
        dtype: dtype of x.

    Returns:
        c, a Python float. It is a traced array for an operator that closes over traced arrays, which is not tested.

    Raises:
        ValueError: if A Aᵀ is not a multiple of I, or the operator is not linear.
    """
    c, error = probe_tight_frame(operator, shape, dtype)
    if isinstance(error, float) and not error < ROUNDING:
        raise ValueError(
            f"the operator's A Aᵀ is no multiple of the identity (off by {error:.1%}), so an observation cannot "
            "be put in place by x + Aᵀ(y − A x)/c: use diffusion.inverse.pigdm, which serves any linear operator"
        )
    return c


def measurement_residual(
    operator: Operator, y: Float[ArrayLike, "..."], x: Float[Array, "b *event"]
) -> Float[Array, "b *meas"]:
    """The residual y − A x.

    Args:
        operator: any operator.
        y: measurements, (B, *measured) or (*measured).
        x: states (B, *event).

    Returns:
        The residual (B, *measured).

    Raises:
        ValueError: if y has another shape.
    """
    found, y = operator(x), jnp.asarray(y)
    if y.shape not in (found.shape, found.shape[1:]):
        raise ValueError(f"y must have the operator's shape {found.shape}, or {found.shape[1:]} for all, got {y.shape}")
    return y.astype(found.dtype) - found


# Relative tolerance of the test of A Aᵀ = c I: float32 errors are near 1e-6, other operators far above.
ROUNDING = 1e-4


def probe_tight_frame(operator: Operator, shape: tuple[int, ...], dtype: Any) -> tuple[float | Array, float | Array]:
    """c of A Aᵀ ≈ c I and its largest relative error at one random x; Python floats unless the operator is traced."""
    with jax.ensure_compile_time_eval():
        measured = operator(jax.random.uniform(jax.random.key(0), shape, dtype, -1.0, 1.0))
        again = operator(transpose(operator, shape, dtype)(measured))
        squares = jnp.sum(measured**2)
        c = jnp.where(squares == 0, 1, safe_divide(jnp.sum(measured * again), squares))
        error = jnp.max(jnp.abs(again - c * measured))
        error = safe_divide(error, c * jnp.max(jnp.abs(measured)))
    return (c, error) if is_traced(error) else (float(c), float(error))

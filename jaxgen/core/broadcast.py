"""Per-example coefficients against batches of any event shape."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Shaped


def per_example(coefficient: ArrayLike, x: Shaped[Array, "b *event"]) -> Shaped[Array, "..."]:
    """Append axes to a coefficient, so that it broadcasts against a batch.

    Args:
        coefficient: one for the batch () or one per example (B,).
        x: the batch (B, *event).

    Returns:
        The coefficient, of shape () or (B, 1, ..., 1).
    """
    coefficient = jnp.asarray(coefficient)
    return coefficient if coefficient.ndim == 0 else coefficient.reshape(coefficient.shape + (1,) * (x.ndim - 1))


def safe_divide(numerator: Shaped[Array, "..."], denominator: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Divide, with value 0 and a zero gradient where the denominator is 0.

    Args:
        numerator: an array of any shape.
        denominator: an array that broadcasts against the numerator.

    Returns:
        The quotient, of the broadcast shape.
    """
    zero = denominator == 0
    return jnp.where(zero, 0, numerator / jnp.where(zero, 1, denominator))

"""Processes that are given by matrices of transition probabilities."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from jaxgen.core import as_float
from jaxgen.discrete_diffusion.process import CategoricalProcess, over_tokens

_TINY = 1e-37


class MatrixProcess(CategoricalProcess):
    """Base class of processes that define `transition(s, t)`, the matrix of q(x_t = column | x_s = row).

    Args:
        schedule: alpha(t), or the number of steps.
        stationary: law (K,) of a token at t = 1.
    """

    def transition(self, s: ArrayLike, t: ArrayLike) -> Float[Array, "*b k k"]:
        """The transition probabilities from s to t.

        Args:
            s: earlier times () or (B,).
            t: times, of s's shape.

        Returns:
            A matrix, or one for each time, whose rows sum to 1.
        """
        raise NotImplementedError(f"{type(self).__name__} must define transition(s, t)")

    def marginal_matrix(self, t: ArrayLike) -> Float[Array, "*b k k"]:
        """The transition probabilities from 0 to t.

        Args:
            t: times () or (B,).

        Returns:
            As `transition`.
        """
        t = as_float(t)
        return self.transition(jnp.zeros_like(t), t)

    def log_marginal(self, x0: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event s"]:
        """Logarithms of the rows of x_0."""
        return jnp.log(_rows(self.marginal_matrix(t), x0))

    def log_evidence(self, x_t: Int[Array, "b *event"], t: ArrayLike) -> Float[Array, "b *event k"]:
        """Logarithms of the columns of x_t."""
        return jnp.log(_rows(self.marginal_matrix(t).swapaxes(-1, -2), x_t))

    def log_backward(self, x_t: Int[Array, "b *event"], s: ArrayLike, t: ArrayLike) -> Float[Array, "b *event s"]:
        """Logarithms of the columns of x_t."""
        s, t = jnp.broadcast_arrays(as_float(s), as_float(t))
        return jnp.log(_rows(self.transition(s, t).swapaxes(-1, -2), x_t))

    def log_mixture(self, log_p: Float[Array, "b *event k"], t: ArrayLike) -> Float[Array, "b *event s"]:
        """log of p times the matrix from 0 to t; log p itself at t = 0, however small p is."""
        matrix = self.marginal_matrix(t)
        p = jnp.exp(log_p)
        mixed = jax.vmap(jnp.matmul)(p, matrix) if matrix.ndim == 3 else p @ matrix
        return jnp.where(over_tokens(as_float(t) == 0, log_p[..., 0]), log_p, jnp.log(jnp.maximum(mixed, _TINY)))


def _rows(matrix: Float[Array, "*b k k"], x: Int[Array, "b *event"]) -> Float[Array, "b *event k"]:
    if matrix.ndim == 3:
        return jax.vmap(lambda matrix, x: matrix[x])(matrix, x)
    return matrix[x]

"""Chains in discrete time that are given by a matrix for each step, such as the discretised Gaussian of D3PM."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import as_float
from jaxgen.discrete_diffusion.matrices import MatrixProcess
from jaxgen.discrete_diffusion.process import check_categories
from jaxgen.discrete_diffusion.schedules import Schedule


class Steps(Schedule):
    """T steps whose transitions are not given by an alpha."""

    ticks: Any  # (T,)

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return self.ticks.shape[-1]

    def alpha(self, t: ArrayLike) -> Array:
        """Not defined."""
        raise ValueError("a chain that is given by its matrices has no alpha(t)")


class TabulatedChain(MatrixProcess):
    """See `from_transitions`."""

    transitions: Any  # (T, K, K)
    marginals: Any  # (T+1, K, K)

    def _index(self, t: ArrayLike) -> Array:
        return jnp.clip(jnp.round(as_float(t) * self.steps).astype(jnp.int32), 0, self.steps)

    def marginal_matrix(self, t: ArrayLike) -> Float[Array, "*b k k"]:
        """Q_1 ⋯ Q_i of the step i nearest to t T."""
        return as_float(self.marginals)[self._index(t)]

    def transition(self, s: ArrayLike, t: ArrayLike) -> Float[Array, "*b k k"]:
        """Q_{i+1} ⋯ Q_j for the steps i and j; one product for each step between."""
        table, first, last = as_float(self.transitions), self._index(s), self._index(t)

        def between(first: Array, last: Array) -> Array:
            start = jnp.eye(self.states, dtype=table.dtype)
            return jax.lax.fori_loop(first, last, lambda i, matrix: matrix @ table[i], start)

        return between(first, last) if first.ndim == 0 else jax.vmap(between)(first, last)


def from_transitions(transitions: ArrayLike, prior: Float[ArrayLike, " k"] | None = None) -> TabulatedChain:
    """A chain of T steps from its matrices, q(x_i = column | x_{i−1} = row).

    Args:
        transitions: matrices (T, K, K) with rows that sum to 1.
        prior: law (K,) of a token at t = 1, from which sampling starts; by default uniform, which is stationary if
            columns sum to 1 as well.

    Returns:
        The process, multiplied out in float64.

    Raises:
        ValueError: if the matrices are not of shape (T, K, K) with T ≥ 1 and K ≥ 2, are not stochastic, or the prior is
            not a law of K states.

    Reference:
        Austin et al. 2021, §3.
    """
    matrices = np.asarray(transitions, np.float64)
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or not len(matrices):
        raise ValueError(f"transitions must have shape (T, K, K) with T >= 1, got {matrices.shape}")
    categories = matrices.shape[1]
    check_categories(categories)
    if not (np.all(matrices >= 0) and np.allclose(matrices.sum(-1), 1, atol=1e-5)):
        raise ValueError("rows of transitions must be probabilities that sum to 1: q(x_i = column | x_{i-1} = row)")
    prior = np.full(categories, 1 / categories) if prior is None else np.asarray(prior, np.float64)
    if prior.shape != (categories,) or not (np.all(prior >= 0) and np.isclose(prior.sum(), 1, atol=1e-5)):
        raise ValueError(f"prior must be {categories} probabilities that sum to 1, got {prior}")
    marginals = [np.eye(categories)]
    for matrix in matrices:
        marginals.append(marginals[-1] @ matrix)
    return TabulatedChain(
        schedule=Steps(ticks=np.arange(1, len(matrices) + 1)),
        stationary=prior.astype(np.float32),
        transitions=matrices.astype(np.float32),
        marginals=np.stack(marginals).astype(np.float32),
    )


def gaussian_chain(categories: int, betas: Float[ArrayLike, " steps"]) -> TabulatedChain:
    """The discretised Gaussian chain of D3PM, for ordered categories.

        Q_{ij} = exp(−4(i−j)²/((K−1)²β)) / Σ_{n=−(K−1)}^{K−1} exp(−4n²/((K−1)²β)),    i ≠ j

    The diagonal takes what is left of each row, so the stationary law is uniform. The published code has the sum's
    limits of K = 256 for every K; here they follow K.

    Args:
        categories: K ≥ 2, in their order.
        betas: table (T,) of β > 0, for K = 256 as `diffusion.linear_betas(1000)`.

    Returns:
        The process.

    Raises:
        ValueError: if categories < 2, or betas are not positive and finite, or not of shape (T,).

    Reference:
        Austin et al. 2021, appendix A.2.3, eq. 8.
    """
    check_categories(categories)
    betas = np.asarray(betas, np.float64)
    if betas.ndim != 1 or not betas.size or not np.all((betas > 0) & np.isfinite(betas)):
        raise ValueError(f"betas must be a table (T,) of positive numbers, got {betas}")
    index = np.arange(categories)
    spread = (categories - 1) ** 2 * betas[:, None, None] / 4
    shifts = np.arange(1 - categories, categories)
    total = np.exp(-(shifts**2) / spread).sum(-1, keepdims=True)
    matrices = np.exp(-((index[:, None] - index) ** 2) / spread) / total
    matrices[:, index, index] = 0
    matrices[:, index, index] = 1 - matrices.sum(-1)
    return from_transitions(matrices)

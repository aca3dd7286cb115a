"""The variational bound on −log p(x0), of a chain of steps and in continuous time."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from jaxgen.core import as_float, check_at_least, fold_in, is_traced, per_sample_keys
from jaxgen.diffusion import check_grid, subset_grid
from jaxgen.discrete_diffusion._denoiser import TokenDenoiser, TokenPrediction, evaluate
from jaxgen.discrete_diffusion.process import CategoricalProcess, check_tokens

EARLIEST = 1e-6  # time of the bound in continuous time


class TokenBound(NamedTuple):
    """Parts of a bound on −log p(x0), in nats per example.

    Attributes:
        prior: KL(q(x_1 | x_0) ‖ prior) (B,).
        terms: the terms (B, n) of the steps of a chain, or of the strata of time, from the noisiest to the cleanest.
        tokens: number of tokens of an example.
    """

    prior: Float[Array, " b"]
    terms: Float[Array, "b n"]
    tokens: int

    @property
    def total(self) -> Float[Array, " b"]:
        """The bound in nats per example, (B,)."""
        return self.prior + self.terms.sum(-1)

    @property
    def bits_per_token(self) -> Float[Array, " b"]:
        """The bound in bits per token, (B,)."""
        return self.total / (self.tokens * math.log(2))


def variational_bound(
    keys: Array,
    process: CategoricalProcess,
    denoise: TokenDenoiser,
    x0: Int[Array, "b *event"],
    *,
    grid: Float[ArrayLike, " n_plus_1"] | None = None,
) -> TokenBound:
    """Unbiased estimate of the bound on −log p(x0) of the reverse chain on a grid, with one draw of x_t for each step.

    The terms are KL(q(x_s | x_t, x_0) ‖ p_θ(x_s | x_t)); the last, at s = 0, is −log p_θ(x_0 | x_t). A grid of one step
    is the bound of a product of marginals. The n network calls run in one `lax.scan`. Call it inside `jax.jit`.

    Args:
        keys: typed keys (B,); the result of example b depends on keys[b] alone.
        process: the process.
        denoise: the denoiser.
        x0: clean tokens (B, *event).
        grid: descending times from 1 to 0. The default is the whole chain in discrete time.

    Returns:
        The parts of the bound.

    Raises:
        ValueError: if tokens are no integers from 0 to K − 1, keys are not typed or not of shape (B,), continuous time
            has no grid, or a concrete grid is not as above or has times that are no steps in discrete time.
        TypeError: if `denoise` is a bare network.

    Reference:
        Austin et al. 2021, eq. 1.
    """
    keys = _checked(keys, process, x0)
    if grid is None:
        if process.steps is None:
            raise ValueError(
                "the bound of a chain in continuous time needs a grid, such as diffusion.uniform_grid(n); "
                "continuous_bound(…) is its limit"
            )
        grid = subset_grid(process.steps, process.steps)
    check_grid(grid, process.steps)
    if not is_traced(grid) and not (grid[0] == 1 and grid[-1] == 0):
        raise ValueError(f"the grid of a bound must run from 1 to 0, got {grid}")
    times = as_float(grid)

    def body(_: None, step: tuple[Array, Array, Array]) -> tuple[None, Float[Array, " b"]]:
        index, t, s = step
        x_t = process.perturb(fold_in(keys, index), x0, t)
        return None, bound_term(process, evaluate(denoise, x_t, t), x_t, x0, s, t)

    _, terms = jax.lax.scan(body, None, (jnp.arange(len(times) - 1), times[:-1], times[1:]))
    return TokenBound(prior_term(process, x0), terms.T, math.prod(x0.shape[1:]))


def continuous_bound(
    keys: Array,
    process: CategoricalProcess,
    denoise: TokenDenoiser,
    x0: Int[Array, "b *event"],
    *,
    draws: int = 128,
) -> TokenBound:
    """Estimate of the bound in continuous time, the limit of `variational_bound` for ever more steps.

    Each of n equal strata of time has one random time, so that the times cover [0, 1] evenly. Times are at least 1e-6.
    Call it inside `jax.jit`.

    Args:
        keys: typed keys (B,); the result of example b depends on keys[b] alone.
        process: a process in continuous time.
        denoise: the denoiser.
        x0: clean tokens (B, *event).
        draws: number n of times ≥ 1 for each example.

    Returns:
        The parts of the bound.

    Raises:
        ValueError: if tokens are no integers from 0 to K − 1, keys are not typed or not of shape (B,), draws < 1, or
            time is discrete.
        TypeError: if `denoise` is a bare network.

    Reference:
        Campbell et al. 2022, proposition 2; Shi et al. 2024, §3; Kingma et al. 2021, §I.1, for the strata.
    """
    keys = _checked(keys, process, x0)
    check_at_least(1, draws=draws)

    def body(_: None, index: Array) -> tuple[None, Float[Array, " b"]]:
        ours = fold_in(keys, index)
        offset = jax.vmap(jax.random.uniform)(fold_in(ours, 0))
        t = jnp.clip((index + offset) / draws, EARLIEST, 1)
        x_t = process.perturb(fold_in(ours, 1), x0, t)
        return None, rate_term(process, evaluate(denoise, x_t, t), x_t, x0, t) / draws

    _, terms = jax.lax.scan(body, None, jnp.arange(draws)[::-1])
    return TokenBound(prior_term(process, x0), terms.T, math.prod(x0.shape[1:]))


def bound_term(
    process: CategoricalProcess,
    prediction: TokenPrediction,
    x_t: Int[Array, "b *event"],
    x0: Int[Array, "b *event"],
    s: ArrayLike,
    t: ArrayLike,
) -> Float[Array, " b"]:
    """KL(q(x_s | x_t, x_0) ‖ p_θ(x_s | x_t)), the term of the bound for the step from t to s, in nats per example.

    Args:
        process: the process.
        prediction: the denoiser's output at (x_t, t).
        x_t: noisy tokens (B, *event).
        x0: clean tokens (B, *event).
        s: end of the step, () or (B,).
        t: start of the step, of s's shape.

    Returns:
        The term (B,); at s = 0 it is −log p_θ(x_0 | x_t).
    """
    return _sum(process.step_divergence(prediction.log_others, x_t, x0, s, t))


def rate_term(
    process: CategoricalProcess,
    prediction: TokenPrediction,
    x_t: Int[Array, "b *event"],
    x0: Int[Array, "b *event"],
    t: ArrayLike,
) -> Float[Array, " b"]:
    """The density in time of the bound in continuous time, in nats per example and unit of time.

    It is Σ r̂_θ − r̂ + r̂ log(r̂/r̂_θ) over the changes of a token, with the reverse rates r̂ given x_0 and r̂_θ of the
    model. On absorbing chains it is the weighted cross-entropy −α′/(1 − α) CE of the masks.

    Args:
        process: a process in continuous time.
        prediction: the denoiser's output at (x_t, t).
        x_t: noisy tokens (B, *event).
        x0: clean tokens (B, *event).
        t: times, () or (B,).

    Returns:
        The density (B,).

    Raises:
        ValueError: if time is discrete.
    """
    return _sum(process.rate_divergence(prediction.log_others, x_t, x0, t))


def prior_term(process: CategoricalProcess, x0: Int[Array, "b *event"]) -> Float[Array, " b"]:
    """KL(q(x_1 | x_0) ‖ prior) in nats per example.

    Args:
        process: the process.
        x0: clean tokens (B, *event).

    Returns:
        The divergence (B,).
    """
    return _sum(process.prior_divergence(x0, jnp.ones(())))


def _sum(values: Float[Array, "b *event"]) -> Float[Array, " b"]:
    return values.reshape(values.shape[0], -1).sum(-1)


def _checked(keys: Array, process: CategoricalProcess, x0: Int[Array, "b *event"]) -> Array:
    check_tokens(process, x0)
    keys = per_sample_keys(keys)
    if keys.shape != x0.shape[:1]:
        raise ValueError(f"need a key for each of {len(x0)} examples: jax.random.split(key, {len(x0)})")
    return keys

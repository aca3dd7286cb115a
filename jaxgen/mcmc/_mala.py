"""The Metropolis-adjusted Langevin algorithm."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_positive, fold_in, noise, per_example
from jaxgen.mcmc.chain import Chain
from jaxgen.mcmc.metropolis import LogDensity, MetropolisState, value_and_gradient

_PROPOSAL, _ACCEPTANCE = 0, 1


def mala(log_density: LogDensity, step_size: ArrayLike) -> Chain:
    """The Metropolis-adjusted Langevin algorithm; its state is a `MetropolisState`.

        y = x + (ε/2) ∇log p(x) + √ε z,    z ~ N(0, I)
        x ← y with probability min(1, p(y) q(x | y)/(p(x) q(y | x))),    q(y | x) = N(y; x + (ε/2) ∇log p(x), ε I)

    It leaves p invariant at any ε, where `langevin` with the same step does so only as ε → 0. A proposal of density 0
    or NaN is rejected. Each chain accepts for itself.

    Args:
        log_density: log p up to a constant, from (B, *event) to (B,).
        step_size: ε > 0, () or one per chain (B,). An acceptance of about .57 is the most efficient in many dimensions.

    Returns:
        The chain. It raises ValueError if the log-density does not return one value per example.

    Raises:
        ValueError: if a concrete step_size is not positive and finite.

    Reference:
        Roberts & Tweedie 1996, "Exponential convergence of Langevin distributions and their discrete approximations",
        §1.4.2; the acceptance: Roberts & Rosenthal 1998.
    """
    check_positive(step_size=step_size)

    def init(x: Float[Array, "b *event"]) -> MetropolisState:
        value, gradient = value_and_gradient(log_density, x)
        return MetropolisState(x, value, gradient, jnp.ones_like(value))

    def step(keys: Array, state: MetropolisState) -> MetropolisState:
        x = state.x
        epsilon = per_example(step_size, x).astype(x.dtype)
        z = noise(fold_in(keys, _PROPOSAL), x.shape[1:], x.dtype)
        y = x + epsilon / 2 * state.gradient + jnp.sqrt(epsilon) * z
        value, gradient = value_and_gradient(log_density, y)

        forward = proposal_log_density(y, x, state.gradient, epsilon)
        backward = proposal_log_density(x, y, gradient, epsilon)
        log_ratio = value - state.log_density + backward - forward
        log_ratio = jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio)

        uniform = jax.vmap(jax.random.uniform)(fold_in(keys, _ACCEPTANCE))
        accepted = uniform < jnp.exp(log_ratio)
        new = MetropolisState(y, value, gradient, state.acceptance)
        kept = jax.tree.map(lambda new, old: jnp.where(per_example(accepted, new), new, old), new, state)
        return kept._replace(acceptance=jnp.minimum(jnp.exp(log_ratio), 1).astype(state.acceptance.dtype))

    return Chain(init, step)


def proposal_log_density(
    y: Float[Array, "b *event"], x: Float[Array, "b *event"], gradient: Float[Array, "b *event"], epsilon: Array
) -> Float[Array, " b"]:
    """log N(y; x + (ε/2) gradient, ε I) without its constant, which both directions share."""
    difference = y - x - epsilon / 2 * gradient
    return -jnp.sum(difference**2 / epsilon, axis=tuple(range(1, x.ndim))) / 2

"""Hamiltonian Monte Carlo, by blackjax."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_at_least, check_positive
from jaxgen.mcmc.chain import Chain
from jaxgen.mcmc.extra import import_blackjax
from jaxgen.mcmc.metropolis import LogDensity, MetropolisState, value_and_gradient


def hmc(log_density: LogDensity, step_size: ArrayLike, steps: int, inverse_mass: ArrayLike = 1.0) -> Chain:
    """Hamiltonian Monte Carlo by blackjax; its state is a `MetropolisState`.

    A step of the chain draws momenta N(0, M), makes `steps` leapfrog steps, and accepts or rejects their end. It leaves
    the density invariant at any step size. It takes `steps` gradients. Needs the extra `mcmc`.

    Args:
        log_density: log p up to a constant, from (B, *event) to (B,).
        step_size: length > 0 of a leapfrog step, (). With steps = 1 the chain is `mala` with ε = step_size².
        steps: leapfrog steps ≥ 1.
        inverse_mass: the diagonal of M⁻¹, positive: a number, or an array that broadcasts to the event. The variances
            of the target are a good choice.

    Returns:
        The chain. It raises ValueError if the log-density does not return one value per example.

    Raises:
        ValueError: if a concrete step_size or inverse_mass is not positive and finite, or steps < 1.
        ImportError: if blackjax is not installed.

    Reference:
        Neal 2011, "MCMC using Hamiltonian dynamics", §5.3.
    """
    check_positive(step_size=step_size, inverse_mass=inverse_mass)
    check_at_least(1, steps=steps)
    of_blackjax = import_blackjax().mcmc.hmc
    kernel = of_blackjax.build_kernel()

    def single(x: Float[Array, "*event"]) -> Float[Array, ""]:
        return log_density(x[None])[0]

    def init(x: Float[Array, "b *event"]) -> MetropolisState:
        value, gradient = value_and_gradient(log_density, x)
        return MetropolisState(x, value, gradient, jnp.ones_like(value))

    def step(keys: Array, state: MetropolisState) -> MetropolisState:
        inverse = jnp.broadcast_to(jnp.asarray(inverse_mass, state.x.dtype), state.x.shape[1:]).ravel()

        def one(key: Array, x: Array, value: Array, gradient: Array) -> MetropolisState:
            found, info = kernel(key, of_blackjax.HMCState(x, value, gradient), single, step_size, inverse, steps)
            acceptance = info.acceptance_rate.astype(value.dtype)
            return MetropolisState(found.position, found.logdensity, found.logdensity_grad, acceptance)

        return jax.vmap(one)(keys, state.x, state.log_density, state.gradient)

    return Chain(init, step)

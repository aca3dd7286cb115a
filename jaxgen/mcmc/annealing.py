"""Annealed importance sampling, and sequential Monte Carlo by blackjax, along a path of tempered densities."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import check_at_least, fold_in, is_traced, per_sample_keys
from jaxgen.distributions import Distribution
from jaxgen.mcmc.chain import Chain, advance
from jaxgen.mcmc.extra import import_blackjax
from jaxgen.mcmc.metropolis import LogDensity, positions

Transition = Callable[[LogDensity, Array], Chain]
"""(log-density of a point of the path, its β ()) -> a chain that leaves it invariant."""

_START = 0


class AnnealedSamples(NamedTuple):
    """Weighted samples of `annealed_importance_sampling`.

    Attributes:
        x: (B, *event).
        log_weights: log w (B,), with E[w f(x)] = ∫ e^{log p̃(x)} f(x) dx. Their mean estimates Z; see `log_normalizer`.
    """

    x: Float[Array, "b *event"]
    log_weights: Float[Array, " b"]


class TemperedSamples(NamedTuple):
    """Populations of `tempered_smc`.

    Attributes:
        x: particles (P, N, *event).
        log_weights: log of the particles' weights (P, N), which sum to 1 in each population.
        log_normalizers: log Z (P,) by each population. Their exponentials are unbiased and independent, so
            `log_normalizer(log_normalizers)` is the estimate of all with its error.
        effective_shares: effective share (P, K) of the weights after each of the K steps of the path.
    """

    x: Float[Array, "p n *event"]
    log_weights: Float[Array, "p n"]
    log_normalizers: Float[Array, " p"]
    effective_shares: Float[Array, "p k"]


def annealed_importance_sampling(
    keys: Key[Array, " b"],
    transition: Transition,
    reference: Distribution,
    log_density: LogDensity,
    shape: tuple[int, ...],
    betas: Float[ArrayLike, " k_plus_1"],
    *,
    steps: int = 1,
) -> AnnealedSamples:
    """Draw weighted samples along the path log p_β = (1 − β) log reference + β log p̃, in one `lax.scan`.

    A sample starts as a draw of the reference. At each β its weight is multiplied by p_β(x)/p_β′(x), where β′ is the β
    before, and then it makes `steps` steps of a chain that leaves p_β invariant. Sample b depends on keys[b] alone.

    The weights are right for chains that leave p_β exactly invariant, such as `mala` and `hmc`, and not for `langevin`.

    Args:
        keys: typed keys (B,), one per sample.
        transition: makes the chain of a log-density and its β.
        reference: a normalised distribution, wide enough to cover the target.
        log_density: log p̃, from (B, *event) to (B,), up to the constant that is to be found.
        shape: shape of one sample.
        betas: (K + 1,), from 0 to 1, ascending. More of them give less varied weights.
        steps: steps ≥ 1 of the chain at each β.

    Returns:
        The samples and their weights.

    Raises:
        ValueError: if keys are not typed or not of shape (B,), betas are not of shape (K + 1,) with K ≥ 1 or concrete
            ones do not ascend from 0 to 1, or steps < 1.

    Reference:
        Neal 2001, "Annealed importance sampling", §2.

    Example:
        ```python
        found = mcmc.annealed_importance_sampling(
            keys, lambda p, beta: mcmc.mala(p, 0.1), distributions.standard_normal(), log_density, (2,), betas
        )
        log_z = mcmc.log_normalizer(found.log_weights)  # value, error, effective_share
        ```
    """
    keys = per_sample_keys(keys)
    check_at_least(1, steps=steps)
    betas = _checked(betas)
    x = _draw(fold_in(keys, _START), reference, shape)

    def body(state: tuple[Array, Array], level: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], None]:
        (x, log_weights), (index, before, beta) = state, level
        gain = (beta - before) * (log_density(x) - reference.log_density(x))
        chain = transition(_path(reference, log_density, beta), beta)
        moved = advance(fold_in(keys, index), chain, chain.init(x), steps)
        return (positions(moved).astype(x.dtype), log_weights + gain.astype(x.dtype)), None

    levels = jnp.arange(1, len(betas)), betas[:-1], betas[1:]
    (x, log_weights), _ = jax.lax.scan(body, (x, jnp.zeros(len(x), x.dtype)), levels)
    return AnnealedSamples(x, log_weights)


def tempered_smc(
    keys: Key[Array, " p"],
    transition: Transition,
    reference: Distribution,
    log_density: LogDensity,
    shape: tuple[int, ...],
    betas: Float[ArrayLike, " k_plus_1"],
    *,
    particles: int = 256,
    steps: int = 1,
) -> TemperedSamples:
    """Sequential Monte Carlo by blackjax along the path of `annealed_importance_sampling`, in one `lax.scan`.

    At each β the particles of a population are resampled by their weights (systematic resampling), make `steps` steps
    of the chain that leaves the density of the β before invariant, and are weighted anew. So modes with little mass
    lose their particles, and weights stay even. Population p depends on keys[p] alone. Needs the extra `mcmc`.

    Args:
        keys: typed keys (P,), one per population.
        transition: makes the chain of a log-density and its β.
        reference: as in `annealed_importance_sampling`.
        log_density: as in `annealed_importance_sampling`.
        shape: shape of one particle.
        betas: as in `annealed_importance_sampling`.
        particles: particles N ≥ 2 of a population.
        steps: steps ≥ 1 of the chain at each β.

    Returns:
        The populations, and log Z by each of them.

    Raises:
        ValueError: as `annealed_importance_sampling` does, and if particles < 2.
        ImportError: if blackjax is not installed.

    Reference:
        Del Moral, Doucet & Jasra 2006, "Sequential Monte Carlo samplers", §3.3.1.
    """
    keys = per_sample_keys(keys)
    check_at_least(1, steps=steps)
    check_at_least(2, particles=particles)
    betas = _checked(betas)
    blackjax = import_blackjax()

    def log_reference(x: Float[Array, "*event"]) -> Float[Array, ""]:
        return reference.log_density(x[None])[0]

    def log_ratio(x: Float[Array, "*event"]) -> Float[Array, ""]:
        return (log_density(x[None]) - reference.log_density(x[None]))[0]

    def population(key: Array) -> TemperedSamples:
        x = _draw(jax.random.split(fold_in(key, _START), particles), reference, shape)

        def body(state: Any, level: tuple[Array, Array, Array]) -> tuple[Any, tuple[Array, Array]]:
            index, before, beta = level

            def chain(log_density_of_one: Callable[[Array], Array]) -> Chain:
                return transition(jax.vmap(log_density_of_one), before)

            def init(x: Array, log_density_of_one: Callable) -> _Particle:
                return _Particle(x, chain(log_density_of_one).init(x[None]))

            def move(key: Array, particle: _Particle, log_density_of_one: Callable) -> tuple[_Particle, tuple]:
                moved = chain(log_density_of_one).step(key[None], particle.state)
                return _Particle(positions(moved)[0], moved), ()

            kernel = blackjax.smc.tempered.build_kernel(
                log_reference, log_ratio, move, init, blackjax.smc.resampling.systematic
            )
            state, info = kernel(fold_in(key, index), state, steps, beta, {})
            share = 1 / (particles * jnp.sum(state.weights**2))
            return state, (info.log_likelihood_increment, share)

        levels = jnp.arange(1, len(betas)), betas[:-1], betas[1:]
        start = blackjax.smc.tempered.init(x)
        start = start._replace(tempering_param=betas[0], weights=start.weights.astype(x.dtype))
        last, (increments, shares) = jax.lax.scan(body, start, levels)
        return TemperedSamples(last.particles, jnp.log(last.weights), increments.sum(), shares)

    return jax.vmap(population)(keys)


class _Particle(NamedTuple):
    """A chain of one particle, as blackjax reads it."""

    position: Array
    state: Any


def _path(reference: Distribution, log_density: LogDensity, beta: Array) -> LogDensity:
    """The log-density of the path at β."""
    return lambda x: (1 - beta) * reference.log_density(x) + beta * log_density(x)


def _draw(keys: Array, reference: Distribution, shape: tuple[int, ...]) -> Float[Array, "b *event"]:
    """A draw of the reference by each key."""
    return jax.vmap(lambda key: reference.sample(key, (1, *shape))[0])(keys)


def _checked(betas: ArrayLike) -> Float[Array, " k_plus_1"]:
    """Betas as an array; raises ValueError for those that are no path from 0 to 1."""
    if not is_traced(betas):
        given = np.asarray(betas, np.float64)
        ascends = given.ndim == 1 and given.size > 1 and given[0] == 0 and given[-1] == 1 and np.all(np.diff(given) > 0)
        if not ascends:
            raise ValueError(f"betas must ascend from 0 to 1, such as np.linspace(0, 1, 100), got {betas}")
    betas = jnp.asarray(betas, jnp.result_type(float))
    if betas.ndim != 1 or betas.size < 2:
        raise ValueError(f"betas must have shape (K + 1,) with K >= 1, got {betas.shape}")
    return betas

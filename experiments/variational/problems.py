"""Two conjugate models, as coordinate ascent and stochastic ascent take them."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.variational.config import Config
from experiments.variational.mixture import (
    PRIOR_VARIANCE,
    mixture_log_evidence,
    mixture_rows,
    mixture_start,
    natural_elbo,
    natural_steps,
)
from jaxgen import distributions, variational
from jaxgen.variational import bayesian_mixture, normal_gamma

PRIOR = normal_gamma.NormalGamma(0.0, 0.1, 1.0, 1.0)
NORMAL_GAMMA, MIXTURE = "Normal–Gamma", "mixture"


class Problem(NamedTuple):
    """A conjugate model with its data, as coordinate ascent and stochastic ascent take it."""

    x: jax.Array
    elbo: Callable[[Any], jax.Array]
    start: Callable[[jax.Array], Any]
    updates: tuple[Callable[[Any], Any], ...]
    stochastic: Callable[[jax.Array], jax.Array]  # key -> the ELBO before every step
    log_evidence: float


def problems(config: Config) -> dict[str, Problem]:
    """Both models, their data drawn from --seed."""
    rng = np.random.default_rng(config.seed)
    numbers = jnp.asarray(rng.normal(2.0, 1.5, config.numbers))
    return {
        NORMAL_GAMMA: _normal_gamma(config, numbers),
        MIXTURE: _mixture(config, mixture_rows(rng, config.rows, config.separation)),
    }


def _normal_gamma(config: Config, x: jax.Array) -> Problem:
    elbo = partial(normal_gamma.elbo, PRIOR, x)
    family = distributions.product({"mu": distributions.mean_field_gaussian(), "tau": distributions.gamma()})

    def start(key):
        mean, *logs = jax.random.normal(key, (4,))
        return normal_gamma.Factors(mean, *map(jnp.exp, logs))

    def bound(key, params):
        draw_key, batch_key = jax.random.split(key)
        batch = jax.random.choice(batch_key, x, (config.batch_size,), replace=False)
        joint = variational.minibatch(
            lambda z: normal_gamma.log_density(PRIOR, z["mu"], z["tau"]),
            lambda z, datum: normal_gamma.log_likelihood(datum, z["mu"], z["tau"]), batch, x.size,
        )  # fmt: skip
        return variational.reparameterised(draw_key, joint, family, params, samples=4, sticking_the_landing=True)

    def follow(params):
        (mean, log_std), (log_shape, log_rate) = params["mu"], params["tau"]
        return elbo(normal_gamma.Factors(mean, jnp.exp(-2 * log_std), jnp.exp(log_shape), jnp.exp(log_rate)))

    def stochastic(key):
        zero = jnp.zeros(())
        params = {"mu": distributions.MeanFieldParams(zero, zero), "tau": distributions.GammaParams(zero, zero)}
        steps = math.ceil(config.passes * x.size / config.batch_size)
        optimizer = optax.adam(optax.cosine_decay_schedule(0.2, steps, exponent=3.0))
        return variational.maximise(key, bound, params, optimizer, steps, follow=follow).followed

    updates = partial(normal_gamma.update_mean, PRIOR, x), partial(normal_gamma.update_precision, PRIOR, x)
    return Problem(x, elbo, start, updates, stochastic, float(normal_gamma.log_evidence(PRIOR, x)))


def _mixture(config: Config, x: jax.Array) -> Problem:
    def start(key):
        return bayesian_mixture.from_natural(x, mixture_start(key))

    def stochastic(key):
        first_key, key = jax.random.split(key)
        rate = variational.robbins_monro(1.0, 0.7)
        path = natural_steps(key, x, config.batch_size, config.passes, mixture_start(first_key), rate)
        return jax.vmap(partial(natural_elbo, x))(path)

    updates = partial(bayesian_mixture.update_means, PRIOR_VARIANCE, x), partial(bayesian_mixture.update_assignments, x)
    elbo = partial(bayesian_mixture.elbo, PRIOR_VARIANCE, x)
    return Problem(x, elbo, start, updates, stochastic, float(mixture_log_evidence(x)))

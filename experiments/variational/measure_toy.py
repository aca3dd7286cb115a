"""The Gamma–exponential model: KL against θ, and stochastic ascent to θ* = x + 1."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.kit.statistics import Verdict, verdicts
from experiments.variational.config import Config
from experiments.variational.measure_gradients import OF_ELBO
from jaxgen import distributions, variational
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.variational import gamma_exponential

STEP = 0.05
DRAWS = 8


class Divergence(NamedTuple):
    """KL(Gamma(2, θ) ‖ p(z | x)) in nats on a grid of θ."""

    theta: np.ndarray  # (k,)
    kl: np.ndarray  # (k,)

    @property
    def best(self) -> float:
        """The θ of the smallest divergence."""
        return float(self.theta[self.kl.argmin()])

    @property
    def least(self) -> float:
        """The smallest divergence."""
        return float(self.kl.min())


class ToyAscent(NamedTuple):
    """Stochastic ascent by one estimator for one datum x."""

    estimator: str
    x: float
    shape: MeanAndError  # of q at the end, over the runs
    rate: MeanAndError  # of q at the end over x + 1
    kl: MeanAndError  # to the posterior at the end
    path: np.ndarray  # (steps,), that divergence before every step, mean over the runs
    exact: bool  # no run is away from shape 2 and rate x + 1 beyond chance


def divergences(config: Config) -> dict[float, Divergence]:
    """The divergence against θ for every datum."""
    found = {}
    for x in config.observed:
        theta = (x + 1) * np.geomspace(0.4, 2.5, 2001)
        kl = gamma_exponential.kl(gamma_exponential.Gamma(2.0, theta), gamma_exponential.posterior(x))
        found[x] = Divergence(theta, np.asarray(kl))
    return found


def toy_ascents(config: Config) -> list[ToyAscent]:
    """Constant steps of every estimator in shape and rate, from Gamma(1, 1), for every datum."""
    keys, rows, differences = jax.random.split(jax.random.key(config.seed + 40), config.seeds), {}, {}
    for name in OF_ELBO:
        along = ascend(name, config.observed, keys, config.ascent_steps)
        for x, log_shape, log_rate in zip(config.observed, *along, strict=True):
            q = gamma_exponential.Gamma(np.exp(log_shape), np.exp(log_rate))
            kl = np.maximum(gamma_exponential.kl(q, gamma_exponential.posterior(x)), 0)
            # a millionth of the optimum is rounding and the last of the way there
            shape, rate = np.round([q.shape[:, -1], q.rate[:, -1] / (x + 1)], 6)
            differences[name, x, "shape"], differences[name, x, "rate"] = shape - 2, rate - 1
            ends = (mean_and_error(values) for values in (shape, rate, np.round(kl[:, -1], 10)))
            rows[name, x] = ToyAscent(name, x, *ends, kl.mean(0), True)
    found: dict[tuple[str, float, str], Verdict] = verdicts(differences)
    return [
        row._replace(exact=all(found[*case, of] == "within chance" for of in ("shape", "rate")))
        for case, row in rows.items()
    ]


def ascend(name: str, observed: Sequence[float], keys: jax.Array, steps: int) -> distributions.GammaParams:
    """Parameters (data, runs, steps) along the ascents."""
    family, estimator = distributions.gamma(), OF_ELBO[name]

    def run(x, key):
        def bound(key, params):
            return estimator(key, lambda z: gamma_exponential.log_joint(x, z), family, params, samples=DRAWS)

        start = distributions.GammaParams(jnp.zeros(()), jnp.zeros(()))
        return variational.maximise(key, bound, start, optax.sgd(STEP), steps, follow=lambda params: params).followed

    every = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))
    return jax.tree.map(np.asarray, every(jnp.asarray(observed), keys))

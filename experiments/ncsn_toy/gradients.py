"""Gradients of the four objectives in d dimensions."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.kit.toy_training import ScoreNet, initial
from experiments.ncsn_toy.config import Config
from experiments.ncsn_toy.objectives import NAMES, objectives
from jaxgen.metrics import MeanAndError, mean_and_error

SMALL_BATCH = 16
BEGUN = 200  # steps of DSM after which gradients are compared


class Gradients:
    """Gradients of every objective in d dimensions, over SMALL_BATCH examples, each compiled once.

    The law of the data is 0.8 N(c, I) + 0.2 N(−c, I) with ‖c‖² = 50, whose modes have one distance in every dimension.

    Attributes:
        of: by objective, gradient(key, params, sigma), a tree like params; sigma is the noise of DSM.
        params: the parameters after some steps of DSM at σ = 1, where no objective is at its minimum.
    """

    def __init__(self, config: Config, dims: int):
        self.dims, net = dims, ScoreNet(config.width, spread=float(np.sqrt(50 / dims + 1)))
        self.of = {name: self._compiled(net, name) for name in NAMES}
        self.params = self._begun(net, config.seed, min(BEGUN, config.objective_steps))

    def draw(self, key: jax.Array, n: int = SMALL_BATCH) -> jax.Array:
        """Draw n examples (n, d)."""
        side_key, eps_key = jax.random.split(key)
        side = jnp.where(jax.random.bernoulli(side_key, 0.8, (n, 1)), 1.0, -1.0)
        return side * np.sqrt(50 / self.dims) + jax.random.normal(eps_key, (n, self.dims))

    def variance(self, name: str, sigma: float, draws: int) -> MeanAndError:
        """The total variance of the gradient of an objective, from so many gradients."""
        return total_variance([self.of[name](jax.random.key(1000 + i), self.params, sigma) for i in range(draws)])

    def _compiled(self, net: ScoreNet, name: str) -> Callable:
        def gradient(key, params, sigma):
            data_key, loss_key = jax.random.split(key)
            x, loss = self.draw(data_key), objectives(sigma)[name]
            return jax.grad(lambda params: loss(loss_key, partial(net.apply, params), x).mean())(params)

        return jax.jit(gradient)

    def _begun(self, net: ScoreNet, seed: int, steps: int) -> Any:
        key, optimizer = jax.random.key(seed + 90), optax.adam(1e-3)
        params = initial(net, key, self.dims)

        @jax.jit
        def update(gradient, params, moments):
            change, moments = optimizer.update(gradient, moments)
            return optax.apply_updates(params, change), moments

        moments = optimizer.init(params)
        for i in range(steps):
            gradient = self.of["DSM"](jax.random.fold_in(key, i), params, 1.0)
            params, moments = update(gradient, params, moments)
        return params


def total_variance(gradients: list[Any]) -> MeanAndError:
    """Trace of the covariance of gradients, estimated from at least two draws of them, and its standard error."""
    flat = np.stack([np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for g in gradients])
    squares = np.sum(np.square(flat.astype(np.float64) - flat.mean(0, dtype=np.float64)), -1)
    return mean_and_error(squares * len(squares) / (len(squares) - 1))

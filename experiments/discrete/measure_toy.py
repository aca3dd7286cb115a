"""Bounds of learned and of exact conditionals on a law that can be enumerated."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.discrete.config import Config
from experiments.discrete.data import TOY_CATEGORIES, TOY_LENGTH, Toy, toy
from experiments.discrete.train import Model
from jaxgen import diffusion, discrete_diffusion
from jaxgen.metrics import MeanAndError, mean_and_error

STEPS = (1, 2, 4, 8, 16, 32, 64)
EXAMPLES = 4096


class ToyResults(NamedTuple):
    """What a chain's bounds are on the enumerable law, in bits per token.

    Attributes:
        learned: the bound of the trained network in continuous time.
        exact: that of exact conditionals.
        wrong: that of the exact posterior in place of the leave-one-out law.
        chains: bounds of exact conditionals with STEPS steps.
    """

    learned: MeanAndError
    exact: MeanAndError
    wrong: MeanAndError
    chains: np.ndarray


def exact_network(process: discrete_diffusion.CategoricalProcess, law: Toy):
    """The logarithm of p(x_0^l | x_t), by enumeration."""
    one_hot = jax.nn.one_hot(law.x, TOY_CATEGORIES)

    def network(x, t, cond=None):
        evidence = process.log_evidence(x, t)[:, np.arange(TOY_LENGTH), law.x].sum(-1)
        log_weight = jnp.log(law.p) + evidence
        weight = jnp.exp(log_weight - log_weight.max(1, keepdims=True))
        return jnp.log(jnp.einsum("bn,nlk->blk", weight, one_hot))

    return network


def toy_results(config: Config, model: Model) -> ToyResults:
    """Measure a chain."""
    law = toy()
    x0 = jnp.asarray(law.draw(EXAMPLES, config.seed + 7))
    keys = jax.random.split(jax.random.key(config.seed + 8), EXAMPLES)
    network = exact_network(model.process, law)
    # cross-entropies of the same draws have the noise of the entropy in common, which is known
    log_p = jnp.log(jnp.asarray(law.p, jnp.float32))[x0 @ TOY_CATEGORIES ** np.arange(TOY_LENGTH)[::-1]]
    excess = -log_p / (TOY_LENGTH * np.log(2)) - law.bits_per_token

    @partial(jax.jit, static_argnames="predicts")
    def continuous(params, predicts=None):
        if predicts is None:
            denoise = model.denoise(params)
        else:
            denoise = discrete_diffusion.denoiser(model.process, network, predicts=predicts)
        found = discrete_diffusion.continuous_bound(keys, model.process, denoise, x0, draws=config.draws)
        return found.bits_per_token - excess

    @partial(jax.jit, static_argnames="steps")
    def chain(steps):
        denoise = discrete_diffusion.denoiser(model.process, network)
        grid = diffusion.uniform_grid(steps)
        found = discrete_diffusion.variational_bound(keys, model.process, denoise, x0, grid=grid)
        return (found.bits_per_token - excess).mean()

    return ToyResults(
        learned=mean_and_error(continuous(model.params)),
        exact=mean_and_error(continuous(model.params, predicts="x0")),
        wrong=mean_and_error(continuous(model.params, predicts="leave_one_out")),
        chains=np.array([float(chain(steps)) for steps in STEPS]),
    )

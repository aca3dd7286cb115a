"""The score networks of the two Gaussians: of clean data, and of all noise levels."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.kit.run import Run
from experiments.kit.toy_training import ScoreNet, Training, initial
from experiments.ncsn_toy.config import Config
from jaxgen.diffusion import ncsn
from jaxgen.distributions import GaussianMixture
from jaxgen.score_matching import noise_conditional, sliced


class Models(NamedTuple):
    """The mixture, the noise levels, and the networks.

    Attributes:
        mixture: the law of the data.
        sigmas: the noise levels (L,), descending.
        net: the network.
        clean: its parameters for clean data, one per seed.
        many: its parameters for all noise levels, one per seed.
    """

    mixture: GaussianMixture
    sigmas: np.ndarray
    net: ScoreNet
    clean: list[Any]
    many: list[Any]


def train(run: Run[Config], mixture: GaussianMixture) -> Models:
    """Train both networks for every seed: sliced score matching on clean data, denoising score matching on all levels.

    Args:
        run: the run.
        mixture: the law of the data, of which every step draws a new batch.
    """
    config = run.config
    net = ScoreNet(config.width, spread=5.0)
    sigmas = ncsn.geometric_sigmas(config.sigma_first, config.sigma_last, config.levels)

    def clean_loss(key, params):
        data_key, loss_key = jax.random.split(key)
        return sliced(loss_key, partial(net.apply, params), mixture.sample(data_key, config.batch_size))

    def many_loss(key, params):
        data_key, loss_key = jax.random.split(key)
        x0 = mixture.sample(data_key, config.batch_size)
        return noise_conditional(loss_key, partial(net.apply, params), x0, sigmas)

    def fits(loss: Callable[..., jax.Array], steps: int) -> list[Any]:
        train = Training(loss, steps=steps, learning_rate=config.learning_rate, progress=config.progress)
        keys = [jax.random.fold_in(jax.random.key(config.seed), i) for i in range(config.seeds)]
        return [train(jax.random.fold_in(key, 1), initial(net, key)).params for key in keys]

    clean = run.stage("clean", lambda: fits(clean_loss, config.clean_steps))
    many = run.stage("many", lambda: fits(many_loss, config.many_steps))
    return Models(mixture, sigmas, net, clean, many)

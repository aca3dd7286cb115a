"""The noise levels, the networks and their losses."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.gmm_scores.config import Config
from experiments.kit.run import Run
from experiments.kit.toy_training import Fit, ScoreNet, Training, initial
from jaxgen.diffusion import ncsn
from jaxgen.distributions import GaussianMixture
from jaxgen.score_matching import denoising, noise_conditional


class Ladders(NamedTuple):
    """Descending noise levels: `short` from sigma_max to 1, `full` from sigma_max through 1 to sigma_min."""

    short: np.ndarray
    full: np.ndarray


def ladders(config: Config) -> Ladders:
    """Both ladders, in one ratio; where it does not fit, the ratios below σ = 1 are smaller."""
    short = ncsn.geometric_sigmas(config.sigma_max, 1.0, config.levels)
    ratio = short[0] / short[1]
    below = ncsn.geometric_sigmas(1.0, config.sigma_min, ncsn.num_noise_levels(1.0, config.sigma_min, ratio))
    return Ladders(short, np.concatenate([short, below[1:]]))


class Models(NamedTuple):
    """The mixture and all trained networks.

    Attributes:
        mixture: the data's distribution p.
        net: the network; all have the same form.
        single: for each of --sigmas, the networks that know only that level, one per seed.
        short: the networks of all levels from sigma_max to 1, one per seed.
        full: the networks of all levels from sigma_max to sigma_min, one per seed.
    """

    mixture: GaussianMixture
    net: ScoreNet
    single: dict[float, list[Fit]]
    short: list[Fit]
    full: list[Fit]


def train(run: Run[Config], mixture: GaussianMixture) -> Models:
    """Train all networks for every seed; each training is a stage of the run."""
    config = run.config
    net = ScoreNet(config.width, spread=root_mean_square(mixture))
    options = {"learning_rate": config.learning_rate, "progress": config.progress}

    def data(key):
        return mixture.sample(key, config.batch_size)

    def one_level(key, params, sigma):
        data_key, loss_key = jax.random.split(key)
        score = partial(net.apply, params, sigma=sigma)
        return sigma**2 * denoising(loss_key, score, data(data_key), sigma)

    def many_levels(key, params, sigmas):
        data_key, loss_key = jax.random.split(key)
        return noise_conditional(loss_key, partial(net.apply, params), data(data_key), sigmas)

    single = Training(one_level, steps=config.steps, **options)
    many = Training(many_levels, steps=config.many_steps, **options)

    def fits(name: str, training: Training, levels: Any) -> list[Fit]:
        def fit(key):
            return training(jax.random.fold_in(key, 1), initial(net, key), jnp.asarray(levels, jnp.float32))

        keys = [jax.random.fold_in(jax.random.key(config.seed), i) for i in range(config.seeds)]
        return [run.stage(f"training/{name}/seed-{i}", partial(fit, key)) for i, key in enumerate(keys)]

    # a hundred levels, so that the network also knows the scores between those of the ladder
    short, full = (np.geomspace(config.sigma_max, end, 100) for end in (1.0, config.sigma_min))
    return Models(
        mixture,
        net,
        {sigma: fits(f"sigma-{sigma}", single, sigma) for sigma in config.sigmas},
        fits("short", many, short),
        fits("full", many, full),
    )


def root_mean_square(mixture: GaussianMixture) -> float:
    """Root mean square of a coordinate of the data."""
    second_moments = np.square(mixture.means) + np.diagonal(mixture.covariances, axis1=-2, axis2=-1)
    return float(np.sqrt(np.asarray(mixture.weights) @ second_moments.mean(-1)))

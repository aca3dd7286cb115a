"""Scores of a two-dimensional Gaussian mixture: exact and learned fields, Langevin dynamics, and annealing.

Exercise 2 of the homework on score-based models. The mixture is drawn from `--seed`. Networks trained by denoising
score matching at one σ learn the score of p * N(0, σ² I), not of p; one network for all σ, with annealed Langevin
dynamics, mends what they cannot: where the data are few, and how the modes are weighted.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import gmm_scores_fields as fields
from experiments import gmm_scores_samples as samples
from experiments import launch
from experiments.config import RunConfig
from experiments.gmm_scores_draws import Drawer
from experiments.toy_sampling import Judge, half_width
from experiments.toy_training import Fit, ScoreNet, Training, initial
from jaxgen.diffusion import ncsn
from jaxgen.distributions import GaussianMixture, random_mixture
from jaxgen.report import Report
from jaxgen.score_matching import denoising, noise_conditional


@dataclass(frozen=True)
class Config(RunConfig):
    """Learn the scores of a Gaussian mixture and sample it by Langevin dynamics."""

    seed: int = 3
    """Draws the mixture (a student's number; the default's modes weigh .25 and .75), and seeds all else."""
    sigmas: tuple[float, ...] = (1.0, 3.0, 7.0)
    """Noise levels of the networks that know only one."""
    sigma_max: float = 20.0
    """First noise level of the networks that know many."""
    sigma_min: float = 0.1
    """Last noise level of the one that goes on below σ = 1."""
    levels: int = 10
    """Levels from sigma_max to 1; below, the ladder goes on in the same ratio."""
    level_steps: int = 100
    """Langevin steps at each level."""
    langevin_steps: int = 1000
    """Langevin steps at one level."""
    step_size: float = 0.1
    """ε of x + ε/2 score + √ε z at σ = 1: times max(1, σ²) at one other level, σ² down the levels."""
    ode_steps: int = 40
    """Steps of DDIM and Heun."""
    steps: int = 3000
    """Training steps of a network of one level."""
    many_steps: int = 16_000
    """Training steps of a network of many levels."""
    batch_size: int = 256
    learning_rate: float = 2e-3
    """At first; it falls to 0 along a cosine."""
    width: int = 128
    """Width of the networks' two hidden layers."""
    samples: int = 1000
    """Starts, and samples per method and seed."""
    seeds: int = 3
    """Trainings and samplings of every method, for the error bars."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        self.at_least(2, "levels", "ode_steps", "seeds")
        self.at_least(1, "level_steps", "steps", "many_steps", "batch_size", "width")
        if self.samples < 100 or self.langevin_steps < 20:
            raise ValueError(
                f"shares and paths need --samples of at least 100 and --langevin-steps of at least 20, got "
                f"{self.samples} and {self.langevin_steps}"
            )
        if not 2 <= len(self.sigmas) <= 3 or min(self.sigmas) <= 0 or sorted(set(self.sigmas)) != list(self.sigmas):
            raise ValueError(f"--sigmas are two or three ascending noise levels, got {self.sigmas}")
        if not 0 < self.sigma_min < 1 < self.sigma_max:
            raise ValueError(
                f"the ladder passes σ = 1: need 0 < --sigma-min < 1 < --sigma-max, got {self.sigma_min} and "
                f"{self.sigma_max}"
            )
        if not 0 < self.step_size < 1:
            raise ValueError(f"--step-size is ε in (0, 1), beyond which the steps overshoot, got {self.step_size}")
        self.at_least(0, "seed")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", levels=3, level_steps=4, langevin_steps=20, ode_steps=3, steps=20, many_steps=20,
        batch_size=32, width=16, samples=100, seeds=2,
    ),
    "paper": Config(
        preset="paper", sigma_min=0.05, levels=20, level_steps=200, langevin_steps=5000, ode_steps=200, steps=50_000,
        many_steps=100_000, batch_size=1024, width=256, samples=4000, seeds=5,
    ),
}  # fmt: skip


class Ladders(NamedTuple):
    """The homework's levels, from sigma_max to 1, and the same going on in their ratio to sigma_min."""

    homework: np.ndarray
    longer: np.ndarray


def ladders(config: Config) -> Ladders:
    """Both ladders; the longer one's last step is shorter than the others where the ratio does not fit."""
    homework = ncsn.geometric_sigmas(config.sigma_max, 1.0, config.levels)
    ratio = homework[0] / homework[1]
    below = ncsn.geometric_sigmas(1.0, config.sigma_min, ncsn.num_noise_levels(1.0, config.sigma_min, ratio))
    return Ladders(homework, np.concatenate([homework, below[1:]]))


class Models(NamedTuple):
    """The exact law, and all networks: by seed, and by level or by how far down the ladder goes."""

    mixture: GaussianMixture
    net: ScoreNet
    single: dict[float, list[Fit]]
    homework: list[Fit]
    longer: list[Fit]


def train(config: Config, mixture: GaussianMixture) -> Models:
    """All networks, for every seed: for each of --sigmas, for all from sigma_max to 1, and for all to sigma_min."""
    second_moment = np.einsum("k,kd->", mixture.weights, np.square(mixture.means)) + np.einsum(
        "k,kdd->", mixture.weights, mixture.covariances
    )
    net = ScoreNet(config.width, spread=float(np.sqrt(second_moment / 2)))
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
    # so fine a ladder that between its levels the network knows the score as well
    wide, deep = (jnp.asarray(np.geomspace(config.sigma_max, end, 100), jnp.float32) for end in (1.0, config.sigma_min))
    keys = [jax.random.fold_in(jax.random.key(config.seed), i) for i in range(config.seeds)]

    def fits(training, args):
        return [training(jax.random.fold_in(key, 1), initial(net, key), args) for key in keys]

    found = {sigma: fits(single, jnp.float32(sigma)) for sigma in config.sigmas}
    return Models(mixture, net, found, fits(many, wide), fits(many, deep))


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    mixture = random_mixture(config.seed)
    directory = launch.begin("gmm_scores", config)
    report = Report(
        "Scores of a Gaussian mixture",
        "What does a network trained by denoising score matching learn, where is it wrong, and which way of sampling "
        "from it gives the mixture back, with its modes in their right proportions?",
        launch.command("experiments.gmm_scores"),
        config,
    )
    print(f"mixture of --seed {config.seed}; writing {directory}")
    half = half_width(mixture)
    models, ladder = train(config, mixture), ladders(config)
    judge = Judge(mixture, config.samples, jax.random.key(config.seed + 1000))

    report.section("The mixture and its score")
    fields.the_mixture(report, mixture, config.samples, half, config.seed)
    report.section("Scores learned at one noise level")
    fields.one_level(report, models, half)
    fields.errors(report, models, half)
    report.section("Sampling at one noise level")
    drawer = Drawer(config, models, ladder, half)
    samples.trajectories(report, drawer)
    samples.starts(report, drawer, judge)
    report.section("One network for all noise levels")
    fields.many_levels(report, models, ladder, half)
    samples.annealing(report, drawer)
    report.section("Every sampler")
    samples.compare(report, drawer, judge)
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

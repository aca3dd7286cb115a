"""Why scores are learned under noise: empty regions, mode weights and manifolds, on 0.8 N((5,5),I) + 0.2 N((−5,−5),I).

The seminar's chapter on noise-conditional score networks (Song & Ermon 2019, §3). Score matching knows nothing where
there are no data, Langevin dynamics cannot weigh modes it does not travel between, and data on a curve have no score
at all; noise of many levels mends all three. Last, the four objectives beside each other.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import launch
from experiments import ncsn_toy_gradients as gradients
from experiments import ncsn_toy_manifold as manifold
from experiments import ncsn_toy_objectives as objectives
from experiments import ncsn_toy_report as figures
from experiments import ncsn_toy_weights as weights
from experiments.config import RunConfig
from experiments.toy_training import ScoreNet, Training, initial
from jaxgen.diffusion import ncsn
from jaxgen.distributions import GaussianMixture, song_ermon_mixture
from jaxgen.report import Report
from jaxgen.score_matching import noise_conditional, sliced


@dataclass(frozen=True)
class Config(RunConfig):
    """Show where plain score matching and Langevin dynamics fail, and how noise levels mend it."""

    starts: int = 1280
    """Chains in a figure, begun uniformly on [−8, 8]²."""
    repeats: int = 4
    """So many times as many chains stand behind each seed's share of a mode."""
    step_size: float = 0.1
    """ε of x + ε/2 score + √ε z; at the last level where there are many."""
    langevin_steps: int = 1000
    """Steps of Langevin dynamics without levels."""
    sigma_first: float = 20.0
    sigma_last: float = 1.0
    levels: int = 10
    """Noise levels, in one ratio."""
    level_steps: int = 100
    """Langevin steps at each level."""
    clean_steps: int = 3000
    """Training steps on the data without noise, by sliced score matching."""
    many_steps: int = 15_000
    """Training steps of the network of all levels."""
    ring_noises: tuple[float, ...] = (0.0, 0.03, 0.1)
    """Noise on the ring's data, the ring being of radius 1."""
    ring_steps: int = 3000
    """Training steps on the ring."""
    objective_steps: int = 2000
    """Training steps in the comparison of objectives."""
    objective_sigma: float = 0.3
    """Noise of denoising score matching in it."""
    dims: tuple[int, ...] = (2, 8, 32, 128, 512)
    """Dimensions in which the objectives' cost and noise are measured."""
    gradients: int = 12
    """Gradients whose variance is measured."""
    rounds: int = 7
    """Rounds of timing."""
    batch_size: int = 256
    learning_rate: float = 2e-3
    """At first; it falls to 0 along a cosine."""
    width: int = 128
    """Width of the networks' two hidden layers."""
    seeds: int = 3
    """Trainings and samplings of every method, for the error bars."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        self.at_least(2, "levels", "seeds", "gradients", "rounds")
        self.at_least(8, "ring_steps")
        self.at_least(1, "clean_steps", "many_steps", "objective_steps", "level_steps")
        self.at_least(1, "repeats", "batch_size", "width")
        if self.starts < 100 or self.langevin_steps < 20:
            raise ValueError(
                f"shares along the chain need --starts of at least 100 and --langevin-steps of at least 20, got "
                f"{self.starts} and {self.langevin_steps}"
            )
        if not 0 < self.sigma_last < self.sigma_first:
            raise ValueError(f"need 0 < --sigma-last < --sigma-first, got {self.sigma_last} and {self.sigma_first}")
        if not 0.02 <= self.step_size < 1 or not self.objective_sigma > 0:
            raise ValueError(
                "need --step-size in [.02, 1), below which the grid of the chains' law is too coarse and beyond which "
                f"they overshoot, and a positive --objective-sigma, got {self.step_size} and {self.objective_sigma}"
            )
        if (
            len(self.ring_noises) < 2
            or self.ring_noises[0] != 0
            or sorted(set(self.ring_noises)) != [*self.ring_noises]
        ):
            raise ValueError(f"--ring-noises ascend from 0, at least two, got {self.ring_noises}")
        if len(self.dims) < 2 or min(self.dims) < 2 or sorted(set(self.dims)) != list(self.dims):
            raise ValueError(f"--dims ascend from 2 or more, at least two of them, got {self.dims}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", starts=100, langevin_steps=20, levels=3, level_steps=4, clean_steps=20, many_steps=20,
        ring_noises=(0.0, 0.1), ring_steps=20, objective_steps=20, dims=(2, 4), gradients=3, rounds=2, batch_size=32,
        width=16, seeds=2, repeats=1,
    ),
    "paper": Config(
        preset="paper", clean_steps=50_000, many_steps=100_000, ring_steps=50_000, objective_steps=50_000,
        gradients=100, rounds=10, batch_size=1024, width=256, seeds=10,
    ),
}  # fmt: skip


class Models(NamedTuple):
    """The exact law, the levels, and the networks' parameters by seed: of the data themselves, and of all levels."""

    mixture: GaussianMixture
    sigmas: np.ndarray
    net: ScoreNet
    clean: list[Any]
    many: list[Any]


def train(config: Config, mixture: GaussianMixture) -> Models:
    """Both networks for every seed: sliced score matching on the data, denoising score matching on all levels."""
    net = ScoreNet(config.width, spread=5.0)
    sigmas = ncsn.geometric_sigmas(config.sigma_first, config.sigma_last, config.levels)
    options = {"learning_rate": config.learning_rate, "progress": config.progress}

    def clean_loss(key, params):
        data_key, loss_key = jax.random.split(key)
        return sliced(loss_key, partial(net.apply, params), mixture.sample(data_key, config.batch_size))

    def many_loss(key, params):
        data_key, loss_key = jax.random.split(key)
        x0 = mixture.sample(data_key, config.batch_size)
        return noise_conditional(loss_key, partial(net.apply, params), x0, sigmas)

    clean = Training(clean_loss, steps=config.clean_steps, **options)
    many = Training(many_loss, steps=config.many_steps, **options)
    keys = [jax.random.fold_in(jax.random.key(config.seed), i) for i in range(config.seeds)]

    def fits(training):
        return [training(jax.random.fold_in(key, 1), initial(net, key)).params for key in keys]

    return Models(mixture, sigmas, net, fits(clean), fits(many))


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    directory = launch.begin("ncsn_toy", config)
    report = Report(
        "Why scores are learned under noise",
        "What goes wrong when a score is learned from clean data and followed by Langevin dynamics, what do many "
        "levels of noise mend, and what does each score-matching objective cost?",
        launch.command("experiments.ncsn_toy"),
        config,
    )
    print(f"writing {directory}")
    models = train(config, song_ermon_mixture())

    report.section("Empty regions")
    figures.low_density(report, models, config)
    report.section("Langevin dynamics and the weights of modes")
    weights.mode_weights(report, models, config)
    report.section("Data on a curve")
    manifold.ring_scores(report, config)
    report.section("Four objectives")
    objectives.learning_curves(report, config)
    planar = gradients.Gradients(config, 2)
    gradients.gradient_noise(report, config, planar)
    gradients.with_dimension(report, config, planar)
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

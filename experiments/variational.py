"""Variational inference where the exact answer is known: bounds, their gradients, mini-batches, and encoders.

The homework's section on variational inference, and the Gamma–exponential toy. Coordinate ascent and stochastic ascent
on conjugate models are held against their exact evidence and posterior, every gradient estimator against the closed
form, and inference functions against each datum's own optimum.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import tyro

from experiments import launch
from experiments import variational_ascent as ascent
from experiments import variational_encoders as encoders
from experiments import variational_gradients as gradients
from experiments import variational_mixture as mixture
from experiments import variational_posteriors as posteriors
from experiments import variational_toy as toy
from jaxgen.report import Report


@dataclass(frozen=True)
class Config:
    """Variational inference against exact posteriors."""

    preset: Literal["default", "smoke", "paper"] = "default"
    """default: minutes on 2 cores; smoke: seconds; paper: more draws and seeds."""
    numbers: int = 20
    """Data of the Normal–Gamma model."""
    rows: int = 16
    """Data of the mixture of two Gaussians on a line."""
    separation: float = 2.5
    """Distance of the mixture's components, in their standard deviations."""
    starts: int = 20
    """Random starts of coordinate ascent."""
    sweeps: int = 200
    """Sweeps of coordinate ascent, each an update of both factors."""
    batch_size: int = 5
    """Batch of stochastic ascent on the two small models."""
    passes: int = 400
    """Passes of stochastic ascent over the data of the small models."""
    draws: int = 16
    """Draws of z behind one gradient: the cost at which the estimators are compared."""
    most_draws: int = 128
    """Draws up to which a gradient's noise is followed, from 2 in powers of 2."""
    gradients: int = 4000
    """Gradients behind each variance and bias."""
    observed: tuple[float, ...] = (0.5, 1.0, 4.0)
    """Data x of the Gamma–exponential toy, one at a time."""
    ascent_steps: int = 1500
    """Steps of stochastic ascent on the toy."""
    many_rows: int = 2000
    """Data of the mixture on which batch sizes are compared."""
    batch_sizes: tuple[int, ...] = (10, 100)
    many_passes: int = 20
    """Passes over those data at every batch size."""
    latents: int = 4
    """Latent dimensions of the linear-Gaussian model for which encoders are trained."""
    dims: int = 8
    """Its data's dimensions."""
    examples: int = 500
    """Its data."""
    encoder_steps: int = 3000
    """Training steps of an encoder."""
    seeds: int = 8
    """Repetitions of everything stochastic, for the error bars."""
    seed: int = 0
    runs: Path = Path("runs")
    """Where the run's directory is made."""
    resume: tyro.conf.Suppress[Path | None] = None

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        least = {
            "numbers": 2, "rows": 2, "starts": 1, "sweeps": 2, "batch_size": 1, "passes": 1, "draws": 2,
            "gradients": 20, "ascent_steps": 2, "many_rows": 10, "many_passes": 1, "latents": 2, "examples": 100,
            "encoder_steps": 1, "seeds": 2,
        }  # fmt: skip
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"--{name.replace('_', '-')} must be at least {bound}, got {getattr(self, name)}")
        if self.batch_size > min(self.numbers, self.rows):
            raise ValueError(f"--batch-size must not exceed --numbers and --rows, got {self.batch_size}")
        if self.rows > 200:
            raise ValueError(f"--rows above 200 make the exact evidence's grid too fine, got {self.rows}")
        if not 1 <= self.separation <= 8:
            raise ValueError(f"--separation must lie in [1, 8], got {self.separation}")
        if self.most_draws < 4 or self.most_draws & (self.most_draws - 1):
            raise ValueError(f"--most-draws must be a power of 2, at least 4, got {self.most_draws}")
        if not self.observed or min(self.observed) < 0:
            raise ValueError(f"--observed are data x >= 0, at least one, got {self.observed}")
        sizes = self.batch_sizes
        if not sizes or list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or any(self.many_rows % b for b in sizes):
            raise ValueError(f"--batch-sizes must ascend and each divide --many-rows {self.many_rows}, got {sizes}")
        if self.dims < self.latents:
            raise ValueError(f"--dims must be at least --latents {self.latents}, got {self.dims}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", numbers=8, rows=8, starts=3, sweeps=4, passes=2, draws=4, most_draws=4, gradients=40,
        observed=(1.0,), ascent_steps=6, many_rows=40, batch_sizes=(10,), many_passes=2, latents=2, dims=3,
        examples=100, encoder_steps=6, seeds=2,
    ),
    "paper": Config(
        preset="paper", starts=100, sweeps=1000, passes=4000, gradients=40_000, most_draws=1024, ascent_steps=10_000,
        many_rows=20_000, batch_sizes=(10, 100, 1000), examples=5000, encoder_steps=20_000, seeds=20,
    ),
}  # fmt: skip


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    directory = launch.begin("variational", config)
    report = Report(
        "Variational inference",
        "How near to exact posteriors and evidences do coordinate ascent, stochastic ascent and amortised inference "
        "come, what does the mean field lose, and which gradient of the bound is the least noisy?",
        launch.command("experiments.variational"),
        config,
    )
    print(f"writing {directory}")
    with jax.enable_x64(True):  # bounds are compared to a ten-thousandth of a nat, and updates to rounding
        report.section("Coordinate ascent and stochastic ascent")
        problems = ascent.problems(config)
        optima = ascent.bounds(report, config, problems)
        report.section("What the mean field keeps of the posterior")
        posteriors.posteriors(report, problems, optima)
        report.section("Mini-batches")
        mixture.minibatches(report, config)
        report.section("Gradients of the bound")
        gradients.table(report, config)
        gradients.with_draws(report, config)
        report.section("The Gamma–exponential toy")
        toy.divergence(report, config)
        toy.ascents(report, config)
        report.section("Amortised inference")
        encoders.amortisation(report, config)
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

"""The flags of the mixture exercise."""

from dataclasses import dataclass

from experiments.kit.config import RunConfig


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
    """Last noise level of the network that also knows levels below σ = 1."""
    levels: int = 10
    """Levels from sigma_max to 1; below 1, further levels follow in the same ratio."""
    level_steps: int = 100
    """Langevin steps at each level of annealed Langevin dynamics."""
    langevin_steps: int = 1000
    """Langevin steps at one level."""
    step_size: float = 0.1
    """ε of x + ε/2 score + √ε z at σ = 1: times max(1, σ²) at one other level, σ² when annealed."""
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
        super().__post_init__()
        self.at_least(2, "levels", "ode_steps", "seeds")
        self.at_least(1, "level_steps", "steps", "many_steps", "batch_size", "width")
        if self.samples < 100 or self.langevin_steps < 20:
            raise ValueError(
                f"shares and paths need --samples of at least 100 and --langevin-steps of at least 20, got "
                f"{self.samples} and {self.langevin_steps}"
            )
        if self.langevin_steps > 200 and self.langevin_steps % 200:
            raise ValueError(
                f"--langevin-steps above 200 must be a multiple of 200, the frames shown, got {self.langevin_steps}"
            )
        if not 2 <= len(self.sigmas) <= 3 or min(self.sigmas) <= 0 or sorted(set(self.sigmas)) != list(self.sigmas):
            raise ValueError(f"--sigmas are two or three ascending noise levels, got {self.sigmas}")
        if not 0 < self.sigma_min < 1 < self.sigma_max:
            raise ValueError(
                f"the levels pass σ = 1: need 0 < --sigma-min < 1 < --sigma-max, got {self.sigma_min} and "
                f"{self.sigma_max}"
            )
        if not 0 < self.step_size < 1:
            raise ValueError(f"--step-size is ε in (0, 1), beyond which the steps overshoot, got {self.step_size}")
        self.positive("learning_rate", usual="1e-4 to 2e-3")


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

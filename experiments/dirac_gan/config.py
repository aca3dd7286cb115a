"""The flags of the exercise on the Dirac-GAN."""

import math
from dataclasses import dataclass

from experiments.kit.config import RunConfig


@dataclass(frozen=True)
class Config(RunConfig):
    """The stability of eight ways to train a GAN; nothing is drawn at random."""

    gamma: float = 0.7
    """Strength γ of the penalties and of consensus in the portraits."""
    sigma: float = 1.0
    """Standard deviation σ of the instance noise in the portraits."""
    target: float = 1.0
    """The slope g₀ that WGAN-GP asks of the critic."""
    step_size: float = 0.2
    """Step size h of both players in the portraits."""
    start: tuple[float, float] = (1.0, 0.0)
    """Where all trajectories of the portraits start: the generator θ and the critic ψ."""
    followed_steps: int = 3000
    """Steps behind the verdict on a trajectory."""
    shown_steps: int = 250
    """Its first steps, which the portraits show."""
    strengths: int = 60
    """Strengths up to 3 at which eigenvalues and critical step sizes are measured; σ² is the strength of noise."""
    step_sizes: int = 120
    """Step sizes up to 6 at which the eigenvalues of updates are measured."""
    checked: tuple[float, ...] = (0.3, 0.6, 1.5, 3.0)
    """Strengths whose critical step sizes are also checked on trajectories."""
    cycle_sizes: tuple[float, ...] = (0.05, 0.1, 0.2)
    """Step sizes of the non-saturating cycle."""
    cycle_steps: int = 20_000
    """Steps until its radius is measured."""

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        super().__post_init__()
        least = {"followed_steps": 20, "shown_steps": 1, "strengths": 2, "step_sizes": 6, "cycle_steps": 20}
        for name, bound in least.items():
            self.at_least(bound, name)
        self.positive("gamma", "sigma", "target", "step_size")
        if self.shown_steps > self.followed_steps:
            raise ValueError(
                f"--shown-steps must not exceed --followed-steps {self.followed_steps}, got {self.shown_steps}"
            )
        if not all(map(math.isfinite, self.start)) or self.start == (0.0, 0.0):
            raise ValueError(f"--start must be finite and not the equilibrium 0 0, got {self.start}")
        for name in ("checked", "cycle_sizes"):
            values = getattr(self, name)
            if not all(0 < value <= 5 for value in values):
                raise ValueError(f"--{name.replace('_', '-')} must lie in (0, 5], got {values}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", followed_steps=40, shown_steps=30, strengths=3, step_sizes=6, checked=(0.6,),
        cycle_sizes=(0.2,), cycle_steps=40,
    ),
    "paper": Config(
        preset="paper", followed_steps=10_000, strengths=300, step_sizes=600,
        checked=(0.1, 0.3, 0.6, 0.9, 1.1, 1.5, 3.0), cycle_sizes=(0.01, 0.02, 0.05, 0.1, 0.2), cycle_steps=500_000,
    ),
}  # fmt: skip

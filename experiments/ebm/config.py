"""The flags of the exercise on energies in the plane."""

from dataclasses import dataclass

from experiments.kit.config import TrainingConfig


@dataclass(frozen=True)
class Config(TrainingConfig):
    """Learn the energies of two known densities of the plane, and sample them."""

    steps: int = 1500
    """Training steps of maximum likelihood."""
    score_steps: int = 2000
    """Training steps of score matching and of the DDPM, which need no chains."""
    short_steps: int = 400
    """Training steps with short-run chains."""
    batch_size: int = 256
    """Examples of all seeds together."""
    learning_rate: float = 3e-3
    points: int = 50_000
    """Training examples of each density."""
    seeds: int = 2
    """Networks of every method, which train side by side."""
    hidden: tuple[int, ...] = (64, 64, 64)
    """Widths of the energies' hidden layers."""
    ddpm_width: int = 48
    """Width of the DDPM's network, of about as many parameters as a conditional energy."""
    step_size: float = 0.05
    """ε of the persistent chains."""
    chain_steps: int = 10
    """Steps of a persistent chain for each update."""
    buffer: int = 2000
    """Entries of the replay buffer of a seed."""
    reinitialise: float = 0.01
    """Probability with which a persistent chain starts anew."""
    short_chain_steps: int = 50
    """Steps of short-run chains."""
    short_step_size: float = 0.005
    """ε of short-run chains."""
    sigma: float = 0.1
    """Noise of score matching."""
    recovery_steps: int = 1500
    """Training steps of recovery likelihood."""
    recovery_chain_steps: int = 30
    """Steps of its chains, in training and at each level of sampling."""
    recovery_step: float = 0.4
    """Their ε over the variance of the reverse kernel at details of the data."""
    betas: tuple[float, ...] = (0.15, 0.5, 0.95)
    """β of the levels of recovery likelihood."""
    ddpm_steps: int = 100
    """Steps of the DDPM's chain."""
    samples: int = 1000
    """Samples of every method and seed."""
    sampling_steps: int = 500
    """Steps of the chains that sample a learned energy."""
    cells: int = 200
    """Cells of the quadrature along an axis."""
    ais_steps: int = 100
    """Steps of annealed importance sampling."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "score_steps", "short_steps", "recovery_steps", "points", "ddpm_width")
        self.at_least(1, "chain_steps", "short_chain_steps", "recovery_chain_steps")
        self.at_least(2, "seeds", "ddpm_steps", "ais_steps")
        self.at_least(20, "cells")
        self.at_least(10, "sampling_steps")
        self.at_least(100, "samples", why="for a distance between samples")
        if self.batch_size % self.seeds:
            raise ValueError(f"--batch-size must be a multiple of --seeds {self.seeds}, got {self.batch_size}")
        self.at_least(self.batch_size // self.seeds, "buffer", why="the batch of a seed")
        for name in ("step_size", "short_step_size", "sigma", "recovery_step"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} must lie in (0, 1), got {getattr(self, name)}")
        if not all(0 < beta < 1 for beta in self.betas):
            raise ValueError(f"--betas must lie in (0, 1), got {self.betas}")
        if not 0 <= self.reinitialise <= 1:
            raise ValueError(f"--reinitialise is a probability in [0, 1], got {self.reinitialise}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", steps=4, score_steps=4, short_steps=4, recovery_steps=4, batch_size=16, points=200,
        hidden=(8, 8), ddpm_width=8, chain_steps=2, buffer=20, short_chain_steps=2, recovery_chain_steps=1,
        betas=(0.5, 0.9), ddpm_steps=3, samples=100, sampling_steps=10, cells=20, ais_steps=4,
    ),
    "paper": Config(
        preset="paper", steps=30_000, score_steps=50_000, short_steps=5000, recovery_steps=30_000, batch_size=2048,
        points=1_000_000, seeds=4, hidden=(128, 128, 128), ddpm_width=96, chain_steps=40, buffer=10_000,
        short_chain_steps=100, samples=5000, sampling_steps=5000, cells=400, ais_steps=1000,
    ),
}  # fmt: skip

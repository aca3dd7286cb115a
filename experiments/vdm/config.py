"""The flags of the exercise on variational diffusion models."""

from dataclasses import dataclass
from typing import Literal

from experiments.kit.config import PAPER_DIT, SMOKE_DIT, NetworkConfig


@dataclass(frozen=True)
class Config(NetworkConfig):
    """Train variational diffusion models with a fixed and with a learned schedule."""

    fourier: tuple[int, ...] = (6, 7)
    """The network also sees sin and cos of 2^n π z for these n, which distinguish neighbouring pixel values."""
    gamma_min: float = -13.3
    """γ = −log SNR at t = 0; the learned schedule begins there."""
    gamma_max: float = 5.0
    """γ = −log SNR at t = 1; the learned schedule begins there."""
    features: int = 1024
    """Hidden units of the monotone network that is the shape of the learned schedule."""
    steps: int = 3000
    """Training steps of each model."""
    ema: float = 0.99
    """Decay of the averaged parameters, which are evaluated."""
    likelihood: Literal["discretised_gaussian", "gaussian_softmax"] = "discretised_gaussian"
    """p(x|z_0): the Gaussian's mass about a level, or its density at the level over all levels (the paper's)."""
    bound_images: int = 128
    """Held-out images whose bound is estimated."""
    bound_draws: int = 16
    """Times at which the bound of each image is evaluated."""
    batches: int = 100
    """Batches over which the variance of their mean diffusion term is estimated."""
    chains: tuple[int, ...] = (10, 30, 100, 300, 1000)
    """Numbers of steps T of the finite losses."""
    ode_images: int = 16
    """Held-out images whose likelihood is computed by the probability-flow ODE."""
    sampling_steps: int = 250
    """Steps of ancestral sampling."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "features", "sampling_steps")
        self.at_least(2, "bound_images", "bound_draws", "ode_images", why="for an error bar")
        self.at_least(6, "batches", why="for the error of a ratio of variances")
        if min(self.chains) < 1:
            raise ValueError(f"--chains are numbers of steps of at least 1, got {self.chains}")
        if not self.gamma_min < self.gamma_max:
            raise ValueError(f"need --gamma-min < --gamma-max, got {self.gamma_min} and {self.gamma_max}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", **SMOKE_DIT,
        images=400, channels=8, multipliers=(1,), blocks=0, fourier=(1,), features=16, steps=6,
        batch_size=8, bound_images=4, bound_draws=2, batches=6, chains=(5, 10), ode_images=2, sampling_steps=4,
        checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", **PAPER_DIT,
        channels=128, multipliers=(1,), blocks=32, steps=10_000_000, batch_size=128,
        learning_rate=2e-4, ema=0.9999, likelihood="gaussian_softmax", bound_images=10_000, bound_draws=32,
        fourier=(7, 8), chains=(10, 30, 100, 300, 1000, 10_000), ode_images=1000, sampling_steps=1000,
        checkpoint_every=20_000,
    ),
}  # fmt: skip

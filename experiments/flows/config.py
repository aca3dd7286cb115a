"""The flags of the exercise on normalizing flows."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from experiments.kit.config import ImageConfig


@dataclass(frozen=True)
class Config(ImageConfig):
    """Flows of the plane and of images."""

    plane_steps: int = 1500
    """Training steps of a flow of the plane."""
    likelihood_ode_steps: int = 900
    """Training steps of the continuous flow whose likelihood is maximised, each of which solves an ODE."""
    affine_layers: int = 10
    """Affine couplings of a flow of the plane."""
    spline_layers: int = 4
    """Layers of a flow of the plane by splines."""
    plane_batch_size: int = 256
    plane_learning_rate: float = 4e-3
    """It falls to 0 along a cosine."""
    test_points: int = 20_000
    """Points on which likelihoods in the plane are measured."""
    cells: int = 120
    """Cells along a side of the pictures of densities."""
    images: int = 5000
    """Sprites to render."""
    digits: int = 5000
    """Digits to render, of 8 × 8 pixels."""
    levels: int = 32
    """Grey levels of a value, to which all images are rounded."""
    scales: int = 2
    """Scales of Glow."""
    glow_steps: int = 4
    """Steps of Glow at each scale."""
    channels: int = 48
    """Channels of the hidden layers of Glow's couplings."""
    steps: int = 1200
    """Training steps of Glow, on each data set."""
    batch_size: int = 64
    learning_rate: float = 2e-3
    """The largest of Glow, after a warm-up; it falls to 0 along a cosine."""
    temperatures: tuple[float, ...] = (0.5, 0.7, 0.85, 1.0)
    """Temperatures of the samples of images."""
    draws: int = 16
    """Draws of the dequantisation noise for the tighter bound."""
    compared: int = 400
    """Images of a set whose likelihood or Fréchet distance is measured."""
    noise_share: float = 0.99
    """Share of noise in the model of almost perfect likelihood."""
    inception: Path | None = None
    """File of Inception v3's weights, for the FID beside the other distances."""
    classifier_steps: int = 250
    """Training steps of the classifier of sprites in whose features distances are measured."""

    resumable: ClassVar[tuple[str, ...]] = tuple(name for name in ImageConfig.resumable if name != "steps")

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "plane_steps", "likelihood_ode_steps", "plane_batch_size", "cells", "scales", "glow_steps")
        self.at_least(1, "channels", "draws", "classifier_steps", "affine_layers", "spline_layers")
        self.at_least(2, "levels", "test_points")
        self.at_least(16, "compared")
        self.at_least(40, "digits")
        if self.levels > 256 or self.size % 2**self.scales or 8 % 2**self.scales:
            raise ValueError("--levels must be at most 256, and --size and 8 divisible by 2 to the power of --scales")
        if not 0 < self.noise_share < 1:
            raise ValueError(f"--noise-share must lie between 0 and 1, got {self.noise_share}")
        if not all(0 < value <= 2 for value in self.temperatures):
            raise ValueError(f"--temperatures must lie in (0, 2], got {self.temperatures}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", plane_steps=6, likelihood_ode_steps=2, affine_layers=2, spline_layers=2, plane_batch_size=16,
        test_points=40, cells=8, images=300, digits=120, scales=1, glow_steps=1, channels=4, steps=3, batch_size=8,
        temperatures=(0.7, 1.0), draws=2, compared=20, classifier_steps=3, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", plane_steps=20_000, likelihood_ode_steps=5000, plane_learning_rate=2e-3, test_points=200_000,
        images=50_000, digits=60_000, levels=256, scales=3, glow_steps=32, channels=512, steps=100_000, draws=128,
        compared=2000, learning_rate=1e-3, ema=0.999, classifier_steps=2000, checkpoint_every=5000,
    ),
}  # fmt: skip

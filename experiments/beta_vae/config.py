"""The flags of the β-VAE exercise."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from experiments.kit.config import TrainingConfig


@dataclass(frozen=True)
class Config(TrainingConfig):
    """Train β-VAEs on dSprites and measure how well they disentangle its factors."""

    data: Path | None = None
    """The published dSprites .npz; without it, the images are rendered."""
    orientation_stride: int = 4
    """Of the 40 orientations keep every so many."""
    x_stride: int = 2
    """Of the 32 positions in x keep every so many."""
    y_classes: tuple[int, int] = (8, 24)
    """Of the 32 positions in y keep these, the last excluded. If x and y vary equally, any rotation of the two latent
    dimensions for them has the same loss, and chance decides which is learned."""
    size: Literal[64, 32] = 32
    """Height and width of the images in pixels."""
    betas: tuple[float, ...] = (1.0, 8.0, 20.0)
    """Weights β of the KL divergence for 64 × 64 images, ascending; at 32 × 32 a pixel replaces four, so β/4 is
    used."""
    seeds: int = 3
    """Trainings for each β."""
    network: Literal["dense", "conv"] = "dense"
    """dense: two hidden layers each way; conv: four strided convolutions, as in the literature."""
    width: int = 256
    """Hidden units of the dense layers."""
    latents: int = 10
    """Dimensions of the code."""
    steps: int = 10_000
    """Training steps of each model."""
    batch_size: int = 16
    """Small, because gradient noise helps the latent dimensions to align with the factors."""
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    """How the learning rate goes on after the warm-up."""
    clip: float = 1.0
    """The largest norm of a gradient; 0: any."""
    checkpoint_every: int = 5000
    held_out: float = 0.1
    """Share of the images kept from training, which are reconstructed and whose loss is followed."""
    probe: int = 10_000
    """Images whose codes the metrics see."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "orientation_stride", "x_stride", "width")
        self.at_least(2, "latents", why="for a gap between them")
        self.at_least(2, "seeds", why="for an error bar")
        self.at_least(100, "probe", why="for the metrics")
        self.at_least(0, "clip", why="(0: gradients are not clipped)")
        ascending = bool(np.all(np.diff((0.0, *self.betas)) > 0)) and np.isfinite(self.betas[-1])
        if len(self.betas) < 2 or not ascending:
            raise ValueError(f"--betas are two or more ascending positive weights, got {self.betas}")
        if not 0 < self.held_out < 1:
            raise ValueError(f"--held-out is a share in (0, 1), got {self.held_out}")
        first, last = self.y_classes
        if self.orientation_stride >= 39 or self.x_stride >= 32 or not 0 <= first < last - 1 < 32:
            raise ValueError(
                "a factor needs two classes: --orientation-stride stays below 39, --x-stride below 32, and --y-classes "
                f"are two numbers from 0 to 32, got {self.orientation_stride}, {self.x_stride} and {self.y_classes}"
            )


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", orientation_stride=20, x_stride=8, y_classes=(14, 18), betas=(1.0, 20.0), seeds=2, width=8,
        latents=3, steps=6, batch_size=8, probe=100, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", size=64, batch_size=64, schedule="constant", clip=0.0,
        orientation_stride=1, x_stride=1, y_classes=(0, 32), betas=(1.0, 2.0, 4.0, 6.0, 8.0, 16.0, 20.0), seeds=5,
        network="conv", steps=300_000, learning_rate=1e-4, ema=0.0, held_out=0.01, checkpoint_every=10_000,
    ),
}  # fmt: skip

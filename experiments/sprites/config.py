"""The flags of the sprites exercise."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from experiments.kit.config import PAPER_DIT, SMOKE_DIT, NetworkConfig
from jaxgen.diffusion import linear_betas


@dataclass(frozen=True)
class Config(NetworkConfig):
    """Train a diffusion model on sprites and compare DDPM with DDIM."""

    network: Literal["unet", "dit", "context"] = "unet"
    """unet: residual U-Net; dit: diffusion transformer; context: the course's context U-Net."""
    channels: int = 32
    """Channels of the first level."""
    multipliers: tuple[int, ...] = (1, 2, 2)
    """Channels of each level of the residual U-Net, in multiples of the first."""
    timesteps: int = 500
    """Length T of the chain."""
    beta_start: float = 1e-4
    beta_end: float = 0.02
    steps: int = 1800
    """Training steps."""
    learning_rate: float = 1.5e-3
    decay: Literal["cosine", "linear"] = "cosine"
    """How the learning rate falls to 0."""
    drop_label: float = 0.1
    """Share of training examples whose label the network does not see."""
    classifier_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 200
    """Samples of each method in the table; with --from, the samples to draw."""
    ddim_steps: tuple[int, ...] = (10, 20, 50, 100)
    """Numbers of steps of DDIM."""
    draw_from: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Folder of a finished run: draw --samples from its model, and train nothing."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "classifier_steps")
        if bad := [n for n in self.ddim_steps if not 1 <= n <= self.timesteps]:
            raise ValueError(
                f"--ddim-steps {bad}: a chain of T={self.timesteps} has subsets of 1 to {self.timesteps} steps"
            )
        if self.draw_from is None:
            self.at_least(50, "samples", why="the number that the figures show")
        self.at_least(1, "samples")
        linear_betas(self.timesteps, self.beta_start, self.beta_end)
        if self.remat and self.network == "context":
            raise ValueError("--remat is for --network unet or dit, whose blocks it computes again")
        if not 0 <= self.drop_label < 1:
            raise ValueError(f"--drop-label is a share in [0, 1), got {self.drop_label}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", **SMOKE_DIT,
        images=400, channels=8, multipliers=(1,), timesteps=8, steps=6, batch_size=8,
        classifier_steps=4, samples=50, ddim_steps=(4,), checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", **PAPER_DIT,
        images=89_400, network="context", channels=64, steps=32 * 894, batch_size=100,
        learning_rate=1e-3, decay="linear", classifier_steps=4000, samples=3000,
    ),
}  # fmt: skip

"""The flags of the improved-DDPM exercise."""

from dataclasses import dataclass
from typing import Literal, get_args

from experiments.kit.config import PAPER_DIT, SMOKE_DIT, NetworkConfig

Objective = Literal["simple", "hybrid", "bound", "min-SNR", "sigmoid"]


@dataclass(frozen=True)
class Config(NetworkConfig):
    """Train diffusion models for likelihood and compare schedules, objectives and variances."""

    timesteps: int = 500
    """Length T of the chain."""
    linear: tuple[Objective, ...] = ("hybrid",)
    """Objectives to train under the linear schedule: simple, hybrid, bound, min-SNR, sigmoid."""
    cosine: tuple[Objective, ...] = ("simple", "hybrid", "bound", "min-SNR", "sigmoid")
    """Objectives to train under the cosine schedule."""
    pretraining_steps: int = 2400
    """Pretraining steps of the network that all others start from, at uniform log-SNR; 0: each from scratch."""
    steps: int = 400
    """Training steps of each network, after the pretraining."""
    ema: float = 0.99
    """Decay of the averaged parameters, which are evaluated."""
    classifier_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 100
    """Samples of each method, drawn as one batch."""
    sampling_steps: tuple[int, ...] = (10, 25, 50)
    """Steps of the strided chains that are sampled; the start of the last one is skipped in the last section."""
    chains: tuple[int, ...] = (10, 25, 50, 100, 250, 500)
    """Steps of the strided chains whose bound is estimated."""
    bound_images: int = 128
    """Held-out images whose bound is estimated."""
    bound_draws: int = 8
    """Random steps of each image at which the bound's terms are evaluated."""
    skipped: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    """Shares of the reverse chain to skip."""
    sets: int = 3
    """Sets of samples that test whether skipping a fifth does harm."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(2, "timesteps")
        self.at_least(1, "classifier_steps", "bound_draws")
        self.at_least(0, "pretraining_steps")
        self.at_least(20, "samples", why="for the figures")
        self.at_least(2, "bound_images", "sets", why="for an error bar")
        for name in ("sampling_steps", "chains"):
            lengths = getattr(self, name)
            if not all(2 <= n <= self.timesteps for n in lengths):
                raise ValueError(
                    f"--{name.replace('_', '-')} {lengths}: a chain of T={self.timesteps} has subsets of 2 to T steps"
                )
        if 0 not in self.skipped or not all(0 <= share < 1 for share in self.skipped):
            raise ValueError(
                f"--skipped {self.skipped} must be shares in [0, 1), among them 0, with which they are compared"
            )
        for name in ("linear", "cosine"):
            if "hybrid" not in getattr(self, name) or set(getattr(self, name)) - set(get_args(Objective)):
                raise ValueError(
                    f"--{name} {getattr(self, name)}: choose of {', '.join(get_args(Objective))}; hybrid must be "
                    "among them, for the figures compare the schedules by it"
                )


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", **SMOKE_DIT,
        images=400, channels=8, multipliers=(1,), blocks=0, timesteps=20,
        cosine=("hybrid",), pretraining_steps=4, steps=6, batch_size=8, classifier_steps=4, samples=20,
        sampling_steps=(4, 5), chains=(5, 20), bound_images=8, bound_draws=2, skipped=(0.0, 0.2), sets=2,
        checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", **PAPER_DIT,
        images=89_400, channels=128, multipliers=(1, 2, 2), timesteps=4000,
        linear=("simple", "hybrid", "bound"), pretraining_steps=0, steps=500_000, batch_size=128, learning_rate=1e-4,
        ema=0.9999, classifier_steps=4000, samples=3000, sampling_steps=(25, 50, 100, 200, 400),
        chains=(25, 50, 100, 200, 400, 1000, 2000, 4000), bound_images=2000, bound_draws=64,
        skipped=(0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5), checkpoint_every=10_000,
    ),
}  # fmt: skip

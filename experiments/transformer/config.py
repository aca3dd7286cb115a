"""The flags of the exercise on transformers."""

from dataclasses import dataclass

from experiments.kit.config import PAPER_DIT, SMOKE_DIT, DiTConfig, UNetConfig


@dataclass(frozen=True)
class Config(UNetConfig, DiTConfig):
    """Train a U-Net and a diffusion transformer of as many parameters."""

    channels: int = 32
    """Channels of the U-Net's first level."""
    multipliers: tuple[int, ...] = (1, 2, 2)
    """Channels of each level, in multiples of the first."""
    dit_width: int = 96
    """Width of a token of the transformer."""
    dit_depth: int = 7
    """Blocks of the transformer; with this width it has as many parameters as the U-Net."""
    dit_rotary: bool = False
    """Rotate the transformer's queries and keys by row and column, besides adding sines and cosines."""
    steps: int = 1000
    """Training steps of the U-Net, and of the transformer at equal steps."""
    dit_learning_rate: float = 1e-3
    """The largest of the transformer, after a warm-up."""
    drop_label: float = 0.1
    """Share of training examples whose label the network does not see."""
    timed_steps: int = 20
    """Training steps of each network in each of five rounds that measure the seconds of a step."""
    classifier_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    sampling_steps: int = 20
    """Steps of DPM-Solver++(2M)."""
    samples: int = 100
    """Samples in a set, drawn as one batch."""
    sets: int = 4
    """Independent sets of samples, over which errors are taken."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "timed_steps", "classifier_steps", "sampling_steps")
        self.at_least(10, "samples", why="for the figures")
        self.at_least(2, "sets", why="for an error bar")
        self.positive("dit_learning_rate")
        if not 0 <= self.drop_label < 1:
            raise ValueError(f"--drop-label is a share in [0, 1), got {self.drop_label}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", **SMOKE_DIT,
        images=400, channels=8, multipliers=(1,), blocks=0, steps=6, batch_size=8, timed_steps=1, classifier_steps=4,
        sampling_steps=3, samples=10, sets=2, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", **PAPER_DIT,
        images=89_400, channels=128, multipliers=(1, 2, 2), steps=100_000, batch_size=128, learning_rate=2e-4,
        dit_learning_rate=1e-4, ema=0.9999, timed_steps=100, classifier_steps=4000, sampling_steps=50, samples=1000,
        sets=5, checkpoint_every=5000,
    ),
}  # fmt: skip

"""The flags of the exercise on controllable generation."""

from dataclasses import dataclass
from typing import Literal

from experiments.kit.config import PAPER_DIT, SMOKE_DIT, NetworkConfig


@dataclass(frozen=True)
class Config(NetworkConfig):
    """Train an unconditional score model of images and draw conditional samples from it."""

    size: int = 16
    """Height and width of the images in pixels, a multiple of 4."""
    steps: int = 3000
    """Training steps of the score model."""
    noisy_classifier_steps: int = 600
    """Training steps of the classifier of noisy images, which guides the samples."""
    classifier_steps: int = 250
    """Training steps of the classifier of clean images, which reads the samples."""
    tasks: tuple[Literal["right-half", "middle", "4x-pixels", "colours"], ...] = (
        "right-half", "middle", "4x-pixels", "colours",
    )  # fmt: skip
    """What is to be filled in; colours for images of three channels."""
    observed: int = 20
    """Held-out images that are observed in part."""
    fills: int = 4
    """Samples for each of them."""
    calls: int = 60
    """Network calls of each fill, whatever the method."""
    repeats: int = 5
    """Passes of each step in RePaint, out of the same number of calls."""
    step_size: float = 1.0
    """ζ' of diffusion posterior sampling."""
    scales: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0)
    """Scales of classifier guidance."""
    class_samples: int = 100
    """Class-conditional samples at each scale."""
    class_steps: int = 30
    """Steps of the class-conditional chains."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "classifier_steps", "noisy_classifier_steps", "repeats", "class_steps")
        if self.size % 4:
            raise ValueError(f"--size {self.size}: super-resolution averages squares of 4 × 4; give a multiple of 4")
        self.at_least(5, "observed", why="for the figures")
        self.at_least(2, "fills", why="for their diversity")
        self.at_least(20, "class_samples", why="for the figure")
        if self.calls < 2 * self.repeats:
            raise ValueError(f"--calls {self.calls} must allow two steps of --repeats {self.repeats} passes")
        self.positive("step_size")
        if 0 not in self.scales or not all(scale >= 0 for scale in self.scales):
            raise ValueError(f"--scales {self.scales} must be 0 or more, 0 among them to compare with")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", **SMOKE_DIT,
        images=400, channels=8, multipliers=(1,), blocks=0, steps=6, batch_size=8,
        noisy_classifier_steps=4, classifier_steps=4, tasks=("colours",), observed=5, fills=2, calls=4, repeats=2,
        scales=(0.0, 2.0), class_samples=20, class_steps=3, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", **PAPER_DIT,
        images=89_400, channels=128, multipliers=(1, 2, 2), steps=100_000, batch_size=128,
        learning_rate=2e-4, ema=0.9999, noisy_classifier_steps=20_000, classifier_steps=4000, observed=200, fills=10,
        calls=1000, repeats=10, class_samples=2000, class_steps=250, checkpoint_every=5000,
    ),
}  # fmt: skip

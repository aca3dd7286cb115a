"""The flags of the exercise on discrete diffusion."""

from dataclasses import dataclass
from typing import ClassVar

from experiments.kit.config import TrainingConfig


@dataclass(frozen=True)
class Config(TrainingConfig):
    """Masked, uniform and ordinal diffusion of sprites, digits and text."""

    images: int = 10_000
    """Sprites to render."""
    digits: int = 6000
    """Digits to render, of 16 × 16 pixels."""
    colours: int = 16
    """Colours of the sprites' palette."""
    length: int = 64
    """Symbols of a window of text."""
    sprite_steps: int = 600
    """Training steps on sprites."""
    digit_steps: int = 500
    """Training steps on digits."""
    text_steps: int = 1000
    """Training steps on text."""
    toy_steps: int = 2000
    """Training steps on the enumerable law."""
    batch_size: int = 64
    learning_rate: float = 3e-3
    channels: int = 16
    """Channels of the U-Net's first level."""
    multipliers: tuple[int, ...] = (1, 2, 4)
    """Channels of each level, in multiples of the first."""
    width: int = 64
    """Channels of the network of text."""
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Dilation of each block of the network of text."""
    ordinal_width: float = 1.0
    """Standard deviation of the ordinal chain's jumps, in categories."""
    sampling_steps: int = 64
    """Steps of the samplers."""
    samples: int = 48
    """Images of every sampler."""
    text_samples: int = 400
    """Windows of text of every sampler."""
    compared: int = 256
    """Held-out examples whose bound is estimated."""
    draws: int = 16
    """Times of the estimate for each example."""
    context: int = 5
    """Symbols of the longest n-gram."""
    vocabulary: int = 50_257
    """Tokens of the vocabulary in which unmasking is counted."""
    unmasked: int = 8192
    """Masks that are offered for unmasking, at each probability."""

    resumable: ClassVar[tuple[str, ...]] = tuple(name for name in TrainingConfig.resumable if name != "steps")

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "sprite_steps", "digit_steps", "text_steps", "toy_steps", "channels", "width", "draws")
        self.at_least(100, "images", "digits", why="for held-out ones")
        self.at_least(2, "colours", "compared", "context", "vocabulary", "sampling_steps")
        self.at_least(8, "length", "samples", "text_samples", "unmasked")
        if self.colours > 256:
            raise ValueError(f"--colours must be at most 256, got {self.colours}")
        if not 0 < self.ordinal_width < float("inf"):
            raise ValueError(f"--ordinal-width must be positive, got {self.ordinal_width}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=200, digits=100, colours=4, length=16, sprite_steps=3, digit_steps=3, text_steps=3,
        toy_steps=4, batch_size=8, channels=8, multipliers=(1,), width=8, dilations=(1,), sampling_steps=3, samples=8,
        text_samples=8, compared=8, draws=2, context=3, vocabulary=500, unmasked=32, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", images=89_400, digits=60_000, colours=64, length=256, sprite_steps=50_000, digit_steps=50_000,
        text_steps=200_000, toy_steps=20_000, batch_size=256, learning_rate=1e-3, ema=0.9999, channels=64,
        multipliers=(1, 2, 2), width=512, dilations=(1, 2, 4, 8, 16, 32, 1, 2, 4, 8, 16, 32), sampling_steps=256,
        samples=200, text_samples=2000, compared=1000, draws=128, context=7, unmasked=65_536, checkpoint_every=5000,
    ),
}  # fmt: skip

"""The flags of the CAPTCHA exercise."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.kit.config import PAPER_DIT, SMOKE_DIT, DiTConfig
from jaxgen.data import CaptchaStyle

RENDERED = ("alphabet", "length", "fonts", "dots", "curves", "rotation", "warp", "gaps", "images", "unseen")


@dataclass(frozen=True)
class Config(DiTConfig):
    """Train a diffusion model of CAPTCHAs and ask it for texts."""

    data: Path | None = None
    """Folder or tar of real CAPTCHAs named by their text; without it, CAPTCHAs are rendered."""
    alphabet: str = "ACEHKX"
    """Characters of the rendered texts; of files, those found in their names."""
    length: int = 3
    """Characters in a rendered text."""
    size: tuple[int, int] = (16, 48)
    """Height and width of the images in pixels."""
    fonts: tuple[str, ...] = ("DejaVuSans-Bold",)
    dots: int = 8
    curves: int = 0
    rotation: float = 20.0
    """The most that a rendered character is turned, in degrees."""
    warp: float = 0.15
    gaps: float = 0.3
    images: int = 16_000
    """CAPTCHAs to render for training."""
    unseen: int = 30
    """Texts that no training image shows."""
    network: Literal["unet", "dit"] = "unet"
    """unet: residual U-Net; dit: diffusion transformer, which attends to the text in every block."""
    patch: int = 2
    """Side of the squares of pixels that the U-Net reads as one."""
    channels: int = 32
    """Channels of the U-Net's first level."""
    multipliers: tuple[int, ...] = (1, 2, 2)
    """Channels of each level, in multiples of the first."""
    cross_attention: tuple[int, ...] = (-2, -1)
    """Levels whose pixels attend to the text."""
    drop_text: float = 0.1
    """Share of training examples whose text the network does not see."""
    learning_rate: float = 1.5e-3
    recogniser_steps: int = 500
    """Training steps of the recogniser."""
    requested: int = 100
    """Images to ask for, of texts seen in training and at most as many of texts not seen; different texts first."""
    scales: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0)
    """Scales of guidance; 1 is the conditional model itself."""
    sampling_steps: int = 20
    """Steps of DPM-Solver++(2M)."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        preset = PRESETS[self.preset] if self.data is not None else self
        if given := [f"--{name}" for name in RENDERED if getattr(self, name) != getattr(preset, name)]:
            raise ValueError(f"{' and '.join(given)} with --data: they are for CAPTCHAs that are rendered")
        self.at_least(1, "images", "unseen", "recogniser_steps", "patch", "channels", "sampling_steps")
        self.at_least(20, "requested", why="for the figures")
        if not all(0 < scale < float("inf") for scale in self.scales):
            raise ValueError(f"--scales {self.scales} must be positive: 0 is the model without a text")
        if not 0 < self.drop_text < 1:
            raise ValueError(
                f"--drop-text is a share in (0, 1), got {self.drop_text}: guidance needs the model with and without "
                "a text; 0.1 is usual"
            )

    @property
    def style(self) -> CaptchaStyle:
        """What rendered CAPTCHAs look like."""
        return CaptchaStyle(
            self.alphabet,
            self.length,
            self.size,
            self.fonts,
            self.dots,
            self.curves,
            self.rotation,
            self.warp,
            self.gaps,
        )


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", **SMOKE_DIT,
        alphabet="47", length=2, size=(12, 24), images=200, unseen=1, channels=8, multipliers=(1,),
        cross_attention=(-1,), steps=6, batch_size=8, recogniser_steps=4, requested=20, scales=(1.0, 2.0),
        sampling_steps=3, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", **PAPER_DIT, dit_patch=5,
        alphabet="0123456789abcdefghijklmnopqrstuvwxyz", length=5, size=(50, 200), dots=30, curves=1,
        fonts=("DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSansMono-Bold"), rotation=30.0, warp=0.2, gaps=0.5,
        images=100_000, unseen=1000, channels=128, multipliers=(1, 2, 2, 2),
        steps=200_000, batch_size=128, learning_rate=2e-4, ema=0.9999, recogniser_steps=20_000, requested=1000,
        scales=(1.0, 1.5, 2.0, 3.0, 5.0), sampling_steps=50, checkpoint_every=5000,
    ),
}  # fmt: skip

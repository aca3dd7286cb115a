"""CAPTCHAs that can be read: a diffusion model of images of text, asked for texts, and judged by a recogniser.

The homework's second practice, unconditional and then conditioned on the text. It asks for a DDPM; trained here is a
diffusion model by EDM's objective (Karras et al. 2022), sampled by DPM-Solver++(2M): tens of steps for DDPM's thousand.
One network learns both, its text being dropped for some examples, so that it can be guided (Ho & Salimans 2022).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import captcha_report as figures
from experiments import launch
from experiments.captcha_reader import train_recogniser
from experiments.config import ComputeConfig
from experiments.score_model import train
from jaxgen.data import (
    CaptchaStyle,
    ImageDataset,
    held_out_texts,
    load_captchas,
    render_captchas,
    render_texts,
    split_by_content,
    split_by_text,
)
from jaxgen.diffusion import vp
from jaxgen.nets import UNet
from jaxgen.report import Report


@dataclass(frozen=True)
class Config(ComputeConfig):
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
    patch: int = 2
    """Side of the squares of pixels that the U-Net reads as one."""
    channels: int = 32
    """Channels of the U-Net's first level."""
    multipliers: tuple[int, ...] = (1, 2, 2)
    """Channels of each level, in multiples of the first."""
    cross_attention: tuple[int, ...] = (-2, -1)
    """Levels whose pixels attend to the text."""
    drop_text: float = 0.1
    """Share of training examples that do not see their text."""
    learning_rate: float = 1.5e-3
    reader_steps: int = 500
    """Training steps of the recogniser."""
    requested: int = 100
    """Images to ask for, of texts seen in training and at most as many of texts not seen; different texts first."""
    scales: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0)
    """Scales of guidance; 1 is the conditional model itself."""
    sampling_steps: int = 20

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "images", "reader_steps", "channels", "sampling_steps")
        if self.requested < 20:
            raise ValueError(f"the figures show at least 20 images: got --requested {self.requested}")
        if not self.scales or not all(scale > 0 for scale in self.scales):
            raise ValueError(f"--scales {self.scales} must be positive: 0 is unconditional and asks for nothing")
        if not 0 < self.drop_text < 1:
            raise ValueError(f"--drop-text is a share in (0, 1), got {self.drop_text}: guidance needs both")

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
        preset="smoke", alphabet="47", length=2, size=(12, 24), images=200, unseen=1, channels=8, multipliers=(1, 1),
        steps=6, batch_size=8, reader_steps=4, requested=20, scales=(1.0, 2.0), sampling_steps=3, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", alphabet="0123456789abcdefghijklmnopqrstuvwxyz", length=5, size=(50, 200), dots=30, curves=1,
        fonts=("DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSansMono-Bold"), rotation=30.0, warp=0.2, gaps=0.5,
        images=100_000, unseen=1000, channels=128, multipliers=(1, 2, 2, 2),
        steps=200_000, batch_size=128, learning_rate=2e-4, ema=0.9999, reader_steps=20_000, requested=1000,
        scales=(1.0, 1.5, 2.0, 3.0, 5.0), sampling_steps=50, checkpoint_every=5000,
    ),
}  # fmt: skip


class Data(NamedTuple):
    """Training images, others of texts drawn as theirs, and images of texts that no training image shows."""

    train: ImageDataset
    held_out: ImageDataset
    unseen: ImageDataset


def load(config: Config) -> Data:
    """Rendered CAPTCHAs or real ones; raises ValueError for what could only fail after training."""
    if config.data is None:
        texts = held_out_texts(config.unseen, config.alphabet, config.length, config.seed)
        found = Data(
            render_captchas(config.images, config.style, config.seed, held_out=texts),
            render_captchas(1000, config.style, config.seed + 1, held_out=texts),
            render_texts((texts * -(-1000 // len(texts)))[:1000], config.style, config.seed + 2),
        )
    else:
        rest, unseen = split_by_text(load_captchas(config.data, size=config.size), 0.1, config.seed)
        found = Data(*split_by_content(rest, 0.1, config.seed), unseen)
    if len(found.train) < config.batch_size:
        raise ValueError(f"--batch-size {config.batch_size} exceeds the {len(found.train)} training images: lower it")
    return found


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        data = load(config)
        letters, length = data.train.num_classes, data.train.labels.shape[1]
        net = UNet(
            config.channels, config.multipliers, num_tokens=letters, sequence_length=length,
            cross_attention_levels=config.cross_attention, patch=config.patch, **config.compute,
        )  # fmt: skip
        jax.eval_shape(
            net.init, jax.random.key(0), np.zeros((1, *data.train.images.shape[1:]), np.float32), jnp.zeros(1)
        )
    directory = launch.begin("captcha", config)
    report = Report(
        "CAPTCHAs that can be read",
        "Can a diffusion model (EDM's objective, sampled by DPM-Solver++(2M) in place of DDPM's chain) write the texts "
        "it is asked for, those never seen in training among them, so that a recogniser trained on real images reads "
        "them as often as real ones?",
        launch.command("experiments.captcha"),
        config,
    )
    print(f"{len(data.train)} training images of {length} characters out of {letters}; writing {directory}")
    reader = train_recogniser(data.train, steps=config.reader_steps, seed=config.seed, progress=config.progress)
    held_out = jnp.asarray(data.held_out.images[:256])
    model = train(
        config, net, None, config.steps, config.seed, data.train.images, held_out, directory / "score",
        conditions=(data.train.labels, jnp.asarray(data.held_out.labels[:256])), drop=config.drop_text,
    )._replace(process=vp())  # fmt: skip
    write = figures.Writer(model, config.sampling_steps)

    report.section("Real images")
    figures.real(report, data, model, config)
    report.section("Without a text")
    figures.unconditional(report, data, reader, write, config)
    report.section("With a text")
    figures.conditional(report, data, reader, write, config)
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

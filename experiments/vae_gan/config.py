"""The flags of the comparison of a VAE with a GAN."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from experiments.kit.config import ImageConfig


@dataclass(frozen=True)
class Config(ImageConfig):
    """Train a VAE and a GAN on the same digits several times, and compare them by discriminators and distances."""

    data: Path | None = None
    """Real images (.npy, .npz, MNIST's idx files, folder, tar); without it, those that --embedded names."""
    embedded: Literal["rendered", "digits"] = "rendered"
    """rendered: --images digits in 16 fonts, normalised as MNIST's are; digits: 1,797 handwritten ones of 8 × 8 pixels,
    from scikit-learn, for --size 8."""
    size: int = 16
    """Height and width of the images in pixels, even and at least 8."""
    images: int = 10_000
    """Digits to render."""
    levels: int = 16
    """Grey levels of a pixel, to which all images are rounded, real or not."""
    repetitions: int = 4
    """Trainings of each model and of each discriminator, each with a test set of its own: at least 3."""
    held_out: float = 0.4
    """Share of the images that no model sees: the real images of discriminators and distances."""
    compared: int = 4000
    """The most held-out images that are used, and the number of images of a model that they are compared with."""
    latents: int = 16
    """Dimensions of z, in both models."""
    hidden: int = 256
    """Width of the hidden layer of the VAE's encoder and decoder."""
    warm_up: int = 500
    """Steps in which the weight of the VAE's KL divergence rises to 1."""
    steps: int = 2000
    """Training steps of the VAE."""
    batch_size: int = 64
    gan_steps: int = 3000
    """Training steps of the GAN."""
    gan_batch_size: int = 32
    gan_learning_rate: float = 2e-3
    """The largest of both players; it falls to 0 along a cosine."""
    channels: int = 32
    """Channels of the generator's last hidden layer."""
    critic_channels: int = 48
    """Channels of the first layer of the GAN's discriminator, and of those that are trained afresh."""
    gamma: float = 0.05
    """Strength γ of R1, the penalty γ/2 ‖∇D‖² at real images."""
    penalty_every: int = 4
    """Updates of the discriminator from one evaluation of the penalty to the next."""
    discriminator_steps: int = 400
    """Training steps of a discriminator that is trained afresh."""
    discriminator_batch_size: int = 32
    """Images of each kind in its batches."""
    discriminator_learning_rate: float = 1e-3
    noise: float = 0.5
    """Standard deviation of the noise that makes a discriminator's task harder; images have values from −1 to 1."""
    classifier_steps: int = 250
    """Training steps of the classifier of digits in whose features distances are measured."""

    rendered_size: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "hidden", "gan_steps", "gan_batch_size", "channels", "critic_channels", "penalty_every")
        self.at_least(1, "latents", "discriminator_batch_size", "classifier_steps")
        self.at_least(0, "warm_up")
        self.at_least(20, "discriminator_steps", why="to be evaluated 20 times")
        self.at_least(2, "levels")
        self.at_least(3, "repetitions", why="for intervals, and for images to train, to validate and to test on")
        self.at_least(8 * self.repetitions, "compared", why=f"with --repetitions {self.repetitions}")
        if self.levels > 256:
            raise ValueError(f"--levels must be at most 256, got {self.levels}: images have no more")
        if self.size % 2 or self.size < 8:
            raise ValueError(f"--size must be even and at least 8, got {self.size}: the networks halve the sides")
        if not 0 < self.held_out < 1:
            raise ValueError(f"--held-out is a share between 0 and 1, got {self.held_out}")
        for name in ("gamma", "noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"--{name} must be finite and not below 0, got {getattr(self, name)}")
        self.positive("gan_learning_rate", "discriminator_learning_rate")
        if self.data is None and self.embedded == "digits" and self.size != 8:
            raise ValueError(f"--embedded digits have 8 × 8 pixels, not {self.size}: add --size 8")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", size=8, images=400, repetitions=3, compared=90, latents=2, hidden=8, warm_up=2, steps=4,
        batch_size=8, gan_steps=4, gan_batch_size=8, channels=4, critic_channels=4, discriminator_steps=20,
        discriminator_batch_size=8, classifier_steps=4, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", size=28, images=70_000, levels=256, repetitions=5, held_out=0.3, compared=20_000, latents=64,
        hidden=512, warm_up=10_000, steps=100_000, learning_rate=1e-3, ema=0.999, gan_steps=100_000, gan_batch_size=64,
        gan_learning_rate=2e-4, channels=64, critic_channels=64, discriminator_steps=10_000,
        discriminator_batch_size=64, classifier_steps=4000, checkpoint_every=5000,
    ),
}  # fmt: skip

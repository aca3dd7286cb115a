"""The flags of the exercise on GANs with diffusion."""

import math
from dataclasses import dataclass

from experiments.kit.config import UNetConfig


@dataclass(frozen=True)
class Config(UNetConfig):
    """Train GANs, GANs with diffusion and DDPM on two mixtures of the plane, and DDGAN and DDPM on images."""

    seeds: int = 4
    """Trainings of each method in the plane."""
    denoising_steps: int = 4
    """Steps of the DDGAN's chain, in the plane and on images; DDPM is also sampled in as many."""
    timesteps: int = 500
    """Length T of DDPM's chain."""
    plane_steps: int = 8_000
    """Training steps in the plane."""
    plane_batch_size: int = 128
    plane_hidden: tuple[int, ...] = (64, 64, 64)
    """Widths of the hidden layers of the networks of the plane."""
    plane_frequencies: int = 5
    """Frequencies of the Fourier features of their inputs."""
    plane_latents: int = 2
    """Dimensions of z in the plane."""
    plane_learning_rate: float = 1e-3
    """The largest of both players."""
    strong_learning_rate: float = 6e-3
    """The largest of the relativistic GAN and of the DDGAN, whose penalties allow a higher one."""
    plane_gamma: float = 0.1
    """Strength γ of R1 and R2, γ/2 ‖∇D‖², at the start; it falls to a thousandth of it."""
    plane_noise: float = 1.0
    """Standard deviation of the noise that Diffusion-GAN's chain mixes in; the data have unit variance."""
    plane_noise_min: float = 0.12
    """Noise over signal, σ/α, of the DDGAN's chain in the plane after its first step."""
    plane_noise_max: float = 3.0
    """Noise over signal after its last step."""
    plane_samples: int = 4000
    """Samples by which coverage is measured."""
    gan_steps: int = 2000
    """Training steps of the DDGAN of images."""
    gan_batch_size: int = 32
    generator_rate: float = 1e-3
    """The largest learning rate of the DDGAN's generator."""
    critic_rate: float = 1e-3
    """The largest learning rate of its critic."""
    gamma: float = 0.05
    """Strength γ of its R1."""
    penalty_every: int = 15
    """Updates of the critic from one evaluation of R1 to the next."""
    latents: int = 32
    """Dimensions of its z."""
    mapping: int = 128
    """Width of its mapping network."""
    critic_channels: int = 24
    minibatch_group: int = 4
    """Examples over which its critic sees a standard deviation; 0 for none."""
    steps: int = 1500
    """Training steps of the diffusion model of images."""
    ddim_steps: tuple[int, ...] = (10, 50)
    """Numbers of steps of DDIM."""
    samples: int = 200
    """Images in a set, drawn in batches of 50."""
    sets: int = 3
    """Independent sets of images, over which errors are taken."""
    classifier_steps: int = 250
    """Training steps of the classifier in whose features distances are measured."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(2, "seeds", "sets", why="for an error bar")
        self.at_least(1, "plane_steps", "plane_batch_size", "gan_steps", "gan_batch_size", "penalty_every")
        self.at_least(1, "mapping", "critic_channels", "classifier_steps", "plane_latents")
        self.at_least(2, "latents", why="because the mapping network divides z by its root mean square")
        self.at_least(2, "timesteps", "denoising_steps")
        self.at_least(0, "plane_frequencies", "minibatch_group")
        self.at_least(200, "plane_samples", why="for a mode to have one of them at least")
        self.at_least(50, "samples", why="the number that the figures show")
        if bad := [n for n in (self.denoising_steps, *self.ddim_steps) if not 1 <= n <= self.timesteps]:
            raise ValueError(f"a chain of --timesteps {self.timesteps} has subsets of 1 to as many steps, got {bad}")
        if not self.plane_hidden or min(self.plane_hidden) < 1:
            raise ValueError(f"--plane-hidden are widths of at least 1, got {self.plane_hidden}")
        self.positive("plane_learning_rate", "strong_learning_rate", "generator_rate", "critic_rate")
        self.positive("plane_gamma", "plane_noise")
        if not 0 <= self.gamma < math.inf:
            raise ValueError(f"--gamma must be finite and not below 0, got {self.gamma}")
        if not 0 < self.plane_noise_min < self.plane_noise_max < math.inf:
            raise ValueError(
                f"--plane-noise-min and --plane-noise-max must ascend from above 0, got {self.plane_noise_min} and "
                f"{self.plane_noise_max}"
            )


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=600, channels=8, multipliers=(1,), blocks=0, timesteps=6, denoising_steps=2, seeds=2,
        plane_steps=4, plane_batch_size=16, plane_hidden=(8,), plane_samples=200, gan_steps=4, gan_batch_size=8,
        latents=2, mapping=8, critic_channels=4, steps=4, batch_size=8, ddim_steps=(2,), samples=50, sets=2,
        classifier_steps=4, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", images=89_400, channels=128, multipliers=(1, 2, 2), timesteps=1000, seeds=5,
        plane_steps=100_000, plane_batch_size=256, plane_hidden=(512, 512, 512), gan_steps=400_000, gan_batch_size=64,
        generator_rate=1.6e-4, critic_rate=1.25e-4, latents=100, mapping=256, critic_channels=64, steps=100_000,
        batch_size=128, learning_rate=2e-4, ema=0.9999, samples=1000, sets=5, classifier_steps=4000,
        checkpoint_every=5000,
    ),
}  # fmt: skip

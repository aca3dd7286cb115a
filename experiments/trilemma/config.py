"""The flags of the trilemma."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from experiments.kit.config import UNetConfig

Name = Literal["vae", "gan", "flow", "ebm", "ncsn", "ddpm", "sde", "ddgan"]


@dataclass(frozen=True)
class Config(UNetConfig):
    """Train families of generative models for equally many seconds on the same images, and compare them."""

    models: tuple[Name, ...] = ("vae", "gan", "flow", "ebm", "ncsn", "ddpm", "sde", "ddgan")
    """Families to compare. With --resume, more can be added to a finished run: what it has trained is used again."""
    twins: tuple[Name, ...] = ("vae", "flow", "sde")
    """Families that are trained from a second seed too, for the comparison of codes."""
    seconds: float = 40.0
    """Training seconds of a network of every family, on this machine, without compilation."""
    steps: int = 100_000
    """The most training steps, whatever the seconds."""
    marks: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Shares of the training after which the Fréchet distance is measured; the last is 1."""
    levels: int = 32
    """Levels of a value, to which all images are rounded, real or not."""
    samples: int = 100
    """Images in a set."""
    sets: int = 4
    """Independent sets of images, over which errors are taken."""
    reference: int = 1000
    """Training images with which images are compared."""
    features: Literal["lite0", "classifier"] = "lite0"
    """Features of all distances: EfficientNet-Lite0's, of the extra `features`, or those of the run's own classifier,
    which are also taken where the extra is not installed."""
    classifier_steps: int = 250
    """Training steps of the classifier of classes."""
    target: float = 0.0
    """Fréchet distance whose training seconds are compared; 0 takes the median of the families' last."""
    likelihood_images: int = 64
    """Held-out images whose likelihood is computed."""
    importance_samples: int = 64
    """Draws of a latent for an image's bound by the VAE, and of dequantisation noise by the flow."""
    code_images: int = 64
    """Held-out images that are encoded."""
    tolerance: float = 1e-3
    """rtol = atol of the score SDE's ODE."""
    latents: int = 32
    """Dimensions of z of the VAE, the GAN and the DDGAN."""
    hidden: int = 256
    """Width of the hidden layers of the VAE."""
    gan_channels: int = 32
    """Channels of the GAN's last hidden layer."""
    critic_channels: int = 48
    """Channels of the first layer of its critic."""
    gan_learning_rate: float = 1e-3
    """Of both players, in the GAN and in the DDGAN."""
    gamma: float = 0.05
    """Strength γ of R1, γ/2 ‖∇D‖²."""
    penalty_every: int = 4
    """Updates of the GAN's critic from one evaluation of R1 to the next."""
    scales: int = 2
    """Scales of Glow."""
    glow_steps: int = 4
    """Steps of Glow at each scale."""
    glow_channels: int = 64
    """Channels of the hidden layers of its couplings."""
    energy_channels: int = 16
    """Channels of the energy at the full size."""
    energy_learning_rate: float = 1e-3
    chain_steps: int = 10
    """Langevin steps of recovery likelihood at each level in training."""
    sampling_chain_steps: int = 10
    """Langevin steps of recovery likelihood at each level in sampling."""
    sigma_last: float = 0.02
    """NCSN's last noise level."""
    langevin_steps: int = 2
    """NCSN's Langevin steps at each level."""
    timesteps: int = 200
    """Length T of DDPM's chain."""
    ddim_steps: int = 20
    """Steps of DDIM, by DDPM's network."""
    sde_steps: int = 100
    """Steps of the score SDE's predictor and corrector, of two calls each."""
    snr: float = 0.16
    """r of the corrector."""
    denoising_steps: int = 4
    """Steps of the DDGAN's chain."""
    mapping: int = 128
    """Width of the DDGAN's mapping network."""
    denoising_critic_channels: int = 24
    """Channels of the first layer of the DDGAN's critic."""

    resumable: ClassVar[tuple[str, ...]] = (
        "models", *(name for name in UNetConfig.resumable if name not in ("steps", "steps_per_call"))
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        if self.distributed:
            raise ValueError("--distributed does not go with a budget of seconds, which every process would measure")
        for name in ("models", "twins", "marks"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"--{name} must differ from each other, got {getattr(self, name)}")
        if not self.models:
            raise ValueError("--models needs at least one family")
        if (
            any(not 0 < mark <= 1 for mark in self.marks)
            or sorted(self.marks) != list(self.marks)
            or self.marks[-1] != 1
        ):
            raise ValueError(f"--marks are ascending shares of the training, the last of which is 1, got {self.marks}")
        self.at_least(2, "levels", "timesteps", "denoising_steps", "latents")
        self.at_least(2, "sets", why="for an error bar")
        self.at_least(10, "samples", why="for a Fréchet distance")
        self.at_least(2, "likelihood_images", "code_images", why="for an error bar")
        self.at_least(1, "hidden", "gan_channels", "critic_channels", "penalty_every", "scales", "glow_steps")
        self.at_least(1, "glow_channels", "energy_channels", "chain_steps", "sampling_chain_steps", "langevin_steps")
        self.at_least(1, "ddim_steps", "sde_steps", "mapping", "denoising_critic_channels", "importance_samples")
        self.at_least(1, "classifier_steps")
        self.at_least(self.samples, "reference", why="as many as --samples")
        if self.levels > 256:
            raise ValueError(f"--levels must be at most 256, got {self.levels}: images have no more")
        if self.ddim_steps > self.timesteps:
            raise ValueError(f"--ddim-steps {self.ddim_steps}: a chain of --timesteps {self.timesteps} has no more")
        if self.size % 2**self.scales:
            raise ValueError(f"--size {self.size} must be divisible by 2 to the power of --scales {self.scales}")
        self.positive("seconds", "gan_learning_rate", "energy_learning_rate", "snr")
        for name in ("gamma", "target"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"--{name} must be finite and not below 0, got {getattr(self, name)}")
        for name in ("sigma_last", "tolerance"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} must lie in (0, 1), got {getattr(self, name)}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", models=("vae", "ddpm"), twins=("vae",), seconds=1.0, steps=4, marks=(0.5, 1.0),
        images=400, batch_size=8, steps_per_call=2, channels=8, multipliers=(1,), blocks=0, samples=10, sets=2,
        reference=40, features="classifier", classifier_steps=4, likelihood_images=4, importance_samples=2,
        code_images=4, tolerance=0.5, latents=4, hidden=8, gan_channels=4, critic_channels=4, scales=1, glow_steps=1,
        glow_channels=4, energy_channels=4, chain_steps=1, sampling_chain_steps=1, sigma_last=0.5, langevin_steps=1,
        timesteps=4, ddim_steps=2, sde_steps=2, mapping=8, denoising_critic_channels=4, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", twins=("vae", "flow", "sde", "ddpm"), seconds=7200.0, steps=10**7, images=89_400,
        batch_size=128, learning_rate=2e-4, ema=0.9999, channels=128, multipliers=(1, 2, 2), samples=2000,
        reference=10_000, classifier_steps=4000, likelihood_images=512, importance_samples=1000, code_images=512,
        tolerance=1e-5, latents=100, hidden=512, gan_channels=128, critic_channels=128, gan_learning_rate=2e-4,
        scales=3, glow_steps=16, glow_channels=512, energy_channels=128, energy_learning_rate=1e-4, chain_steps=30,
        sigma_last=0.01, langevin_steps=5, timesteps=1000, ddim_steps=50, sde_steps=1000, mapping=256,
        denoising_critic_channels=64, checkpoint_every=5000,
    ),
}  # fmt: skip

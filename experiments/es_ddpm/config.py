"""The flags of the ES-DDPM exercise."""

from dataclasses import dataclass

from experiments.kit.config import PAPER_DIT, SMOKE_DIT, NetworkConfig


@dataclass(frozen=True)
class Config(NetworkConfig):
    """Train a VAE and a diffusion model, and let the second finish the samples of the first."""

    timesteps: int = 200
    """Length T of the chain."""
    starts: tuple[int, ...] = (12, 25, 50, 100, 150)
    """T′, the steps of the chain that are left to take; also the numbers of longer steps from noise."""
    latents: int = 32
    """Dimensions of the VAE's code."""
    vae_steps: int = 3000
    """Training steps of the VAE."""
    vae_batch_size: int = 64
    classifier_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 200
    """Samples in a set, drawn as one batch."""
    sets: int = 4
    """Independent sets of samples, over which errors are taken."""
    margin: float = 0.1
    """A method counts as as good as the whole chain if its Fréchet distance is, at 95 % confidence, larger by less than
    this share."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "latents", "vae_steps", "vae_batch_size", "classifier_steps")
        self.at_least(2, "sets", why="for an error bar")
        self.at_least(10, "samples", why="for the figures")
        if not all(1 <= start < self.timesteps for start in self.starts):
            raise ValueError(f"--starts {self.starts}: T′ lies in [1, T) with T = {self.timesteps}")
        self.positive("margin")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", **SMOKE_DIT,
        images=400, channels=8, multipliers=(1,), blocks=0, timesteps=8, starts=(2, 4), latents=4,
        vae_steps=4, vae_batch_size=8, steps=6, batch_size=8, classifier_steps=4, samples=10, sets=2,
        checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", **PAPER_DIT,
        images=89_400, channels=128, multipliers=(1, 2, 2), timesteps=1000,
        starts=(50, 100, 200, 300, 400, 500, 700), latents=128, vae_steps=100_000, vae_batch_size=128, steps=100_000,
        batch_size=128, learning_rate=2e-4, ema=0.9999, classifier_steps=4000, samples=1000, sets=5, margin=0.05,
        checkpoint_every=5000,
    ),
}  # fmt: skip

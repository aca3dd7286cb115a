"""The flags of the exercise on recovery likelihood and prior holes."""

from dataclasses import dataclass

from experiments.kit.config import ImageConfig


@dataclass(frozen=True)
class Config(ImageConfig):
    """Learn energies as reverse kernels in the plane and on images, and as priors of VAEs."""

    held_out: float = 0.1
    """Share of the images that no model sees."""
    seeds: int = 3
    """Trainings of each method in the plane and of each VAE."""
    plane_levels: tuple[int, ...] = (2, 4, 6)
    """Numbers of reverse steps in the plane."""
    plane_steps: int = 1200
    """Training steps of the energies of the plane."""
    denoiser_steps: int = 3000
    """Training steps of its denoiser, which needs no chains."""
    plane_batch_size: int = 128
    """Examples of each seed."""
    plane_learning_rate: float = 2e-3
    plane_hidden: tuple[int, ...] = (48, 48, 48)
    """Widths of the hidden layers of its energies."""
    denoiser_width: int = 40
    """Width of its denoiser, which then has about as many parameters."""
    plane_chain_steps: int = 30
    """Langevin steps at each level, in training and in sampling."""
    plane_step: float = 0.3
    """Their ε over the variance of the reverse kernel within a mode."""
    gaussian_steps: tuple[int, ...] = (12, 30, 60, 120, 180, 500)
    """Further numbers of steps of the Gaussian chain."""
    plane_samples: int = 2000
    """Samples by which holes and weights are measured."""

    latents: int = 12
    """Dimensions of the VAEs' latents."""
    vae_steps: int = 1000
    """Training steps of a VAE."""
    vae_batch_size: int = 32
    vae_hidden: int = 256
    """Width of the hidden layer of its encoder and decoder."""
    warm_up: int = 200
    """Steps in which the weight of its KL divergence rises to 1."""
    prior_steps: int = 1000
    """Training steps of the energies of latents."""
    prior_batch_size: int = 128
    """Latents of each seed."""
    prior_learning_rate: float = 1e-3
    prior_hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of their energies."""
    prior_chain_steps: int = 20
    """Langevin steps of an update by maximum likelihood."""
    prior_step: float = 0.1
    """Their ε, also in sampling."""
    prior_regularisation: float = 0.0
    """Weight of the squares of the energies."""
    buffer: int = 2000
    """Entries of the replay buffer of a seed."""
    reinitialise: float = 0.02
    """Probability with which a chain of the buffer starts anew."""
    prior_sampling_steps: int = 100
    """Langevin steps of sampling a prior."""
    proposals: int = 500
    """Draws of N(0, I) of which resampling takes one."""
    prior_samples: int = 1000
    """Latents of a prior and seed, at most as many as there are held-out images."""
    levels: int = 6
    """Levels of noise of the images."""
    channels: int = 32
    """Channels of the images' energy at half the size, at which it begins."""
    data_noise: float = 0.1
    """Standard deviation of the noise that images carry in training; a last call removes it."""
    start_steps: int = 1000
    """Training steps of score matching, at which recovery likelihood begins."""
    steps: int = 150
    """Training steps of recovery likelihood of images."""
    recovery_batch_size: int = 16
    """Images in its batches."""
    recovery_learning_rate: float = 2e-4
    chain_steps: int = 30
    """Langevin steps at each level of images, in training and in sampling."""
    step_size: float = 0.4
    """Their ε over the least variance of the reverse kernel."""
    samples: int = 100
    """Images in a set, drawn in batches of 50."""
    sets: int = 3
    """Independent sets of images, over which errors are taken."""
    long_samples: int = 32
    """Images whose chains go on."""
    classifier_steps: int = 250
    """Training steps of the classifier in whose features distances are measured."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(2, "seeds", "sets", why="for an error bar")
        self.at_least(1, "plane_steps", "denoiser_steps", "plane_batch_size", "denoiser_width", "plane_chain_steps")
        self.at_least(1, "vae_steps", "vae_batch_size", "vae_hidden", "prior_steps", "prior_batch_size", "proposals")
        self.at_least(1, "prior_chain_steps", "prior_sampling_steps", "channels", "start_steps", "chain_steps")
        self.at_least(1, "recovery_batch_size", "classifier_steps")
        self.at_least(2, "latents", why="because two of them are shown")
        self.at_least(2, "levels", why="for reverse steps")
        self.at_least(0, "warm_up", "prior_regularisation")
        self.at_least(self.prior_batch_size, "buffer", why="the batch of a seed")
        self.at_least(1000, "plane_samples", why="for the distances of samples")
        self.at_least(50, "samples", "prior_samples", why="the number that the figures show")
        self.at_least(20, "long_samples", why="for a distance")
        for name in ("plane_levels", "plane_hidden", "prior_hidden", "gaussian_steps"):
            values = getattr(self, name)
            if not values or min(values) < 1:
                raise ValueError(f"--{name.replace('_', '-')} are numbers of at least 1, got {values}")
        if len(set(self.plane_levels)) < len(self.plane_levels):
            raise ValueError(f"--plane-levels must differ, got {self.plane_levels}")
        for name in ("plane_step", "prior_step", "step_size", "data_noise"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} must lie in (0, 1), got {getattr(self, name)}")
        self.positive("plane_learning_rate", "prior_learning_rate", "recovery_learning_rate")
        if not 0 < self.held_out < 1:
            raise ValueError(f"--held-out is a share between 0 and 1, got {self.held_out}")
        if not 0 <= self.reinitialise <= 1:
            raise ValueError(f"--reinitialise is a probability in [0, 1], got {self.reinitialise}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=600, seeds=2, plane_levels=(2, 4), plane_steps=4, denoiser_steps=4, plane_batch_size=8,
        plane_hidden=(8,), denoiser_width=8, plane_chain_steps=2, gaussian_steps=(3, 5), plane_samples=1000, latents=2,
        vae_steps=4, vae_batch_size=8, vae_hidden=8, warm_up=2, prior_steps=4, prior_batch_size=8, prior_hidden=(8,),
        prior_chain_steps=2, buffer=20, prior_sampling_steps=2, proposals=4, prior_samples=50, levels=2, channels=4,
        start_steps=4, steps=4, batch_size=8, recovery_batch_size=4, chain_steps=2, samples=50, sets=2, long_samples=20,
        classifier_steps=4, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", images=89_400, seeds=5, plane_steps=20_000, denoiser_steps=50_000, plane_batch_size=512,
        plane_hidden=(128, 128, 128), denoiser_width=96, latents=32, vae_steps=50_000, warm_up=5000,
        prior_steps=30_000, prior_hidden=(200, 200), prior_chain_steps=60, buffer=10_000, prior_samples=5000,
        channels=128, start_steps=100_000, steps=100_000, batch_size=256, recovery_batch_size=256, learning_rate=1e-4,
        recovery_learning_rate=1e-4, ema=0.999, samples=1000, sets=5, long_samples=500, classifier_steps=4000,
        checkpoint_every=5000,
    ),
}  # fmt: skip

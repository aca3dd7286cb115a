"""The flags of the comparison of autoencoders."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from experiments.kit.config import ImageConfig


@dataclass(frozen=True)
class Config(ImageConfig):
    """Train a VAE, a VampPrior VAE, a VQ-VAE and an SC-VAE on the same images and compare them."""

    data: Path | None = None
    """Real images (.npy, .npz, MNIST's idx files, folder, tar); without it, those that --embedded names."""
    embedded: Literal["digits", "sprites", "dsprites"] = "digits"
    """digits: 1,797 handwritten ones of 8 × 8 pixels, from scikit-learn; sprites: rendered, with --size 16; dsprites:
    --images of them, with --size 16, 32 or 64."""
    size: int = 8
    """Height and width of the images in pixels, a multiple of 2^halvings."""
    latents: int = 8
    """Dimensions of the Gaussian codes of VAE and VampPrior."""
    hidden: int = 128
    """Units of a gated layer of VAE and VampPrior."""
    layers: int = 2
    """Gated layers of each encoder and decoder of VAE and VampPrior."""
    pseudo_inputs: int = 50
    """Pseudo-inputs of the VampPrior, the number of its mixture components."""
    warm_up: int = 500
    """Steps in which the weight of the KL divergence rises to 1."""
    codes: int = 32
    """Vectors in the codebook of the VQ-VAE."""
    atoms: int = 32
    """Atoms in the dictionary of the SC-VAE."""
    penalty: float = 0.1
    """First λ of the SC-VAE's sparse coding, whose threshold is learned; with too large a λ all codes stay at 0."""
    sparsity: float = 1.0
    """Weight of the 1-norm of the SC-VAE's codes, the mean over places, in nats."""
    iterations: int = 10
    """Steps of learned ISTA."""
    channels: int = 8
    """Dimensions of the vector at each place, in VQ-VAE and SC-VAE."""
    width: int = 32
    """Channels of the convolutions of VQ-VAE and SC-VAE."""
    halvings: int = 2
    """How often VQ-VAE and SC-VAE halve the sides of an image, down to the places of their codes."""
    blocks: int = 2
    """Residual blocks of each encoder and decoder of VQ-VAE and SC-VAE."""
    prior_steps: int = 1500
    """Training steps of the VQ-VAE's prior over indices."""
    steps: int = 2000
    """Training steps of each autoencoder."""
    batch_size: int = 64
    classifier_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 200
    """Samples of each model."""
    importance_samples: int = 5000
    """Draws from the posterior in the estimate of −log p(x)."""

    rendered_size: ClassVar[int | None] = None
    # the VQ-VAE's prior is fitted to the indices at the end of its training, so a resumed run keeps --steps
    resumable: ClassVar[tuple[str, ...]] = tuple(flag for flag in ImageConfig.resumable if flag != "steps")

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "latents", "hidden", "layers", "pseudo_inputs", "iterations", "channels", "width", "halvings")
        self.at_least(1, "prior_steps", "classifier_steps", "importance_samples")
        self.at_least(0, "warm_up", "blocks")
        self.at_least(2, "codes", "atoms")
        self.at_least(24, "samples", why="for the figures")
        multiple = 2**self.halvings
        if self.size % multiple or self.size < 8:
            raise ValueError(
                f"--size {self.size} must be 8 or more and, with --halvings {self.halvings}, a multiple of {multiple}"
            )
        self.positive("penalty")
        if not 0 <= self.sparsity < float("inf"):
            raise ValueError(f"--sparsity must be finite and not below 0, got {self.sparsity}")
        sizes = {"sprites": (16,), "dsprites": (16, 32, 64)}.get(self.embedded, (self.size,))
        if self.data is None and self.size not in sizes:
            allowed = " or ".join(map(str, sizes))
            raise ValueError(f"{self.embedded} are rendered with --size {allowed}, not {self.size}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", latents=2, hidden=8, layers=1, pseudo_inputs=3, warm_up=2, codes=4, atoms=4, iterations=2,
        channels=2, width=4, halvings=1, blocks=0, prior_steps=4, steps=6, batch_size=8, classifier_steps=4, samples=24,
        importance_samples=4, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", size=28, latents=40, hidden=300, pseudo_inputs=500, warm_up=50_000, codes=512, atoms=512,
        channels=64, width=128, prior_steps=50_000, steps=200_000, batch_size=100, learning_rate=5e-4, ema=0.999,
        classifier_steps=4000, samples=5000, importance_samples=5000, checkpoint_every=10_000,
    ),
}  # fmt: skip

"""Four autoencoders on one data set: VAE, VampPrior VAE, VQ-VAE and SC-VAE.

Exercise 2.2 of the report. They differ in what a code is, a point with a Gaussian about it, an index into a codebook,
a sparse combination of atoms, and in what is said of codes before an image is seen, the prior.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from experiments import launch
from experiments import vae_zoo_models as models
from experiments import vae_zoo_report as figures
from experiments.config import ImageConfig
from experiments.features import Quality, train_judge
from experiments.images import load, source, split
from jaxgen.data import DSprites, ImageDataset, digits
from jaxgen.report import Report


@dataclass(frozen=True)
class Config(ImageConfig):
    """Train a VAE, a VampPrior VAE, a VQ-VAE and an SC-VAE on the same images and compare them."""

    data: Path | None = None
    """Real images (.npy, .npz, MNIST's idx files, folder, tar); without it, what --embedded names."""
    embedded: Literal["digits", "sprites", "dsprites"] = "digits"
    """digits: 1,797 handwritten ones of 8 × 8 pixels, from scikit-learn; sprites: rendered, with --size 16; dsprites:
    --images of them, with --size 16, 32 or 64."""
    size: int = 8
    """Height and width of the images in pixels, a multiple of 4."""
    latents: int = 8
    """Dimensions of the Gaussian codes."""
    hidden: int = 128
    """Units of the gated layers of VAE and VampPrior."""
    pseudo_inputs: int = 50
    """Pseudo-inputs, of which the VampPrior is the mixture."""
    warm_up: int = 500
    """Steps in which the weight of the KL divergence rises to 1."""
    codes: int = 32
    """Vectors in the codebook of the VQ-VAE."""
    atoms: int = 32
    """Atoms in the dictionary of the SC-VAE."""
    penalty: float = 0.1
    """λ of its sparse coding, where its learned threshold begins; more, and all codes begin at 0 and stay there."""
    sparsity: float = 1.0
    """Weight of the codes' 1-norm, the mean over places, in nats."""
    iterations: int = 10
    """Steps of learned ISTA."""
    channels: int = 8
    """Dimensions of a place's vector, in VQ-VAE and SC-VAE."""
    width: int = 32
    """Channels of their convolutions."""
    prior_steps: int = 1500
    """Training steps of the VQ-VAE's prior over indices."""
    steps: int = 2000
    """Training steps of each autoencoder."""
    batch_size: int = 64
    judge_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 200
    """Samples of each model."""
    importance_samples: int = 5000
    """Draws of the posterior by which −log p(x) is estimated."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "latents", "hidden", "pseudo_inputs", "iterations", "channels", "width", "prior_steps")
        self.at_least(1, "judge_steps", "importance_samples")
        self.at_least(0, "warm_up")
        self.at_least(2, "codes", "atoms")
        self.at_least(24, "samples", why="for the figures")
        if self.size % 4 or self.size < 8:
            raise ValueError(f"--size {self.size} must be 8 or more and a multiple of 4, which is halved twice")
        if not (self.penalty > 0 and self.sparsity >= 0):
            raise ValueError(f"need a positive --penalty, --sparsity not below 0: got {self.penalty}, {self.sparsity}")
        sizes = {"sprites": (16,), "dsprites": (16, 32, 64)}.get(self.embedded, (self.size,))
        if self.data is None and self.size not in sizes:
            told = " or ".join(map(str, sizes))
            raise ValueError(f"{self.embedded} are rendered with --size {told}, not {self.size}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", latents=2, hidden=8, pseudo_inputs=3, warm_up=2, codes=4, atoms=4, iterations=2, channels=2,
        width=8, prior_steps=4, steps=6, batch_size=8, judge_steps=4, samples=24, importance_samples=4,
        checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", size=28, latents=40, hidden=300, pseudo_inputs=500, warm_up=50_000, codes=512, atoms=512,
        channels=64, width=128, prior_steps=50_000, steps=200_000, batch_size=100, learning_rate=5e-4, ema=0.999,
        judge_steps=4000, samples=5000, importance_samples=5000, checkpoint_every=10_000,
    ),
}  # fmt: skip


def read(config: Config) -> tuple[ImageDataset, ImageDataset, str]:
    """Training and held-out images, and where they come from, for captions."""
    if config.data is not None or config.embedded == "sprites":
        return *load(config), source(config)
    if config.embedded == "digits":
        return *split(digits(config.size), config), "scikit-learn's digits"
    everything = DSprites(size=config.size, average=config.size < 64)
    drawn = everything.take(np.random.default_rng(config.seed).integers(len(everything), size=config.images))
    dataset = ImageDataset(drawn.images(drawn.codes), drawn.factors[:, 1], ("square", "ellipse", "heart"))
    return *split(dataset, config), "dSprites"


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        train_set, test_set, where = read(config)
    directory = launch.begin("vae_zoo", config)
    report = Report(
        "Four autoencoders",
        "What does it change to learn the prior (VampPrior), to quantise the code (VQ-VAE) or to make it sparse "
        "(SC-VAE), in likelihood, reconstruction, use of the code and samples?",
        launch.command("experiments.vae_zoo"),
        config,
    )
    print(f"{len(train_set)} training and {len(test_set)} held-out images; writing {directory}")
    # larger digits are interpolated
    levels = 17 if config.data is None and config.embedded == "digits" and config.size == 8 else 256
    zoo = models.Zoo(config, train_set.images, test_set.images, levels, directory)
    members = [zoo.vae(), zoo.vamp_prior(), zoo.vq_vae(), zoo.sc_vae()]
    judge = train_judge(train_set, test_set, steps=config.judge_steps, seed=config.seed, progress=config.progress)
    quality = Quality(judge, train_set.images, test_set.images, config.samples)

    report.section("The data and the training")
    figures.data(report, train_set, where)
    figures.training(report, members)
    report.section("What the codes keep")
    figures.reconstructions(report, members, test_set.images)
    figures.interpolations(report, members, test_set.images)
    figures.traversals(report, members, test_set.images)
    figures.scatter(report, members, test_set)
    report.section("What the priors say")
    figures.samples(report, members)
    figures.pseudo_inputs(report, members, config)
    report.section("Comparison")
    figures.compare(report, members, test_set.images, quality, levels)
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

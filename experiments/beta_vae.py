"""VAE and β-VAE on dSprites: the mutual information gap as β rises, and what each dimension of the code has learned.

Exercise 2 of the report (Higgins et al. 2017; Chen et al. 2018). The images are rendered on demand, so the full set of
737,280 is never held in memory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from experiments import beta_vae_report as figures
from experiments import launch
from experiments.autoencoder import Autoencoder, Trained, train
from experiments.config import TrainingConfig
from jaxgen.data import DSprites, load_dsprites
from jaxgen.distributions.likelihoods import bernoulli
from jaxgen.nets import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from jaxgen.report import Report


@dataclass(frozen=True)
class Config(TrainingConfig):
    """Train β-VAEs on dSprites and measure how they take its factors apart."""

    data: Path | None = None
    """The published dSprites .npz; without it, the images are rendered."""
    orientation_stride: int = 4
    """Of the 40 orientations keep every so many."""
    x_stride: int = 2
    """Of the 32 places across keep every so many."""
    y_classes: tuple[int, int] = (8, 24)
    """Of the 32 places down keep these, the last excluded. Where x and y spread alike, two dimensions of the code at
    any angle to them serve as well, and chance decides what is learned."""
    size: Literal[64, 32] = 32
    """Height and width of the images in pixels."""
    betas: tuple[float, ...] = (1.0, 8.0, 20.0)
    """Weights of the KL divergence for 64 × 64 images, ascending; at 32 × 32 each pixel stands for four of theirs."""
    seeds: int = 3
    """Trainings for each β."""
    network: Literal["dense", "conv"] = "dense"
    """dense: two hidden layers each way; conv: four strided convolutions, as in the literature."""
    width: int = 256
    """Hidden units of the dense layers."""
    latents: int = 10
    """Dimensions of the code."""
    steps: int = 10_000
    """Training steps of each model."""
    batch_size: int = 16
    """Small, for noise helps the code to turn into the factors' axes."""
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    """How the learning rate goes on."""
    clip: float = 1.0
    """The longest gradient that is taken whole; 0: any."""
    checkpoint_every: int = 5000
    held_out: float = 0.1
    """Share of the images kept from training, which are reconstructed and whose loss is followed."""
    probe: int = 10_000
    """Images whose codes the metrics see."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "orientation_stride", "x_stride", "width")
        self.at_least(2, "latents", why="for a gap between them")
        self.at_least(2, "seeds", why="for an error bar")
        self.at_least(100, "probe", why="for the metrics")
        if len(self.betas) < 2 or min(self.betas) <= 0 or sorted(set(self.betas)) != list(self.betas):
            raise ValueError(f"--betas are two or more ascending weights, got {self.betas}")
        if not 0 < self.held_out < 1:
            raise ValueError(f"--held-out is a share in (0, 1), got {self.held_out}")
        first, last = self.y_classes
        if self.orientation_stride >= 40 or self.x_stride >= 32 or not 0 <= first < last - 1 < 32:
            raise ValueError(
                "a factor needs two classes: --orientation-stride stays below 40, --x-stride below 32, and --y-classes "
                f"are two numbers from 0 to 32, got {self.orientation_stride}, {self.x_stride} and {self.y_classes}"
            )


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", orientation_stride=20, x_stride=8, y_classes=(14, 18), betas=(1.0, 20.0), seeds=2, width=8,
        latents=3, steps=6, batch_size=8, probe=100, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", size=64, batch_size=64, schedule="constant", clip=0.0,
        orientation_stride=1, x_stride=1, y_classes=(0, 32), betas=(1.0, 2.0, 4.0, 6.0, 8.0, 16.0, 20.0), seeds=5,
        network="conv", steps=300_000, learning_rate=1e-4, ema=0.0, held_out=0.01, checkpoint_every=10_000,
    ),
}  # fmt: skip


def networks(config: Config, shape: tuple[int, ...]) -> Autoencoder:
    """Encoder and decoder of images of a shape, with values in [0, 1]."""
    if config.network == "conv":
        return Autoencoder(ConvEncoder(config.latents), ConvDecoder(shape), bernoulli())
    hidden = (config.width, config.width)
    return Autoencoder(MLPEncoder(config.latents, hidden), MLPDecoder(shape, hidden, "relu"), bernoulli())


def load(config: Config) -> tuple[DSprites, DSprites]:
    """Training and held-out images."""
    how = {"size": config.size, "average": config.size < 64}
    everything = DSprites(**how) if config.data is None else load_dsprites(config.data, **how)
    # the last orientation is the first again
    orientation = range(0, 39 if config.orientation_stride > 1 else 40, config.orientation_stride)
    kept = everything.subset(
        orientation=list(orientation), x=slice(None, None, config.x_stride), y=slice(*config.y_classes)
    )
    order, held = np.random.default_rng(config.seed).permutation(len(kept)), round(config.held_out * len(kept))
    if held < 20 or len(kept) - held < config.batch_size:
        raise ValueError(
            f"of {len(kept)} images {held} are held out: the figures take 20, and --batch-size {config.batch_size} as "
            "many of the others; keep more by smaller strides"
        )
    return kept.take(order[held:]), kept.take(order[:held])


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        train_set, test_set = load(config)
    directory = launch.begin("beta_vae", config)
    report = Report(
        "β-VAE on dSprites",
        "Does a heavier KL divergence make single dimensions of the code stand for single factors of the image, as the "
        "mutual information gap has it, and what does that cost in reconstruction?",
        launch.command("experiments.beta_vae"),
        config,
    )
    print(f"{len(train_set)} training and {len(test_set)} held-out images; writing {directory}")
    shape, held_out = (config.size, config.size, 1), test_set.codes[:512]
    autoencoder = networks(config, shape)
    models: dict[float, list[Trained]] = {beta: [] for beta in config.betas}
    for beta in config.betas:
        for seed in range(config.seed, config.seed + config.seeds):
            # the same first parameters and batches for every β
            models[beta].append(
                train(
                    config, autoencoder, autoencoder.initial(seed, shape), train_set.codes, held_out,
                    directory / f"beta-{beta:g}-seed-{seed}", seed=seed,
                    beta=beta * (config.size / 64) ** 2,
                    images=lambda codes: train_set.images(codes) / 255, schedule=config.schedule, clip=config.clip,
                )
            )  # fmt: skip
    report.section("The data")
    figures.data(report, train_set, config.y_classes != (0, 32))
    report.section("Training")
    figures.training(report, models, config.size)
    figures.reconstructions(report, models, test_set)
    report.section("The codes")
    probe = train_set.take(slice(config.probe))
    figures.disentanglement(report, models, probe, test_set)
    figures.traversals(report, models, test_set)
    figures.positions(report, models, train_set)
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

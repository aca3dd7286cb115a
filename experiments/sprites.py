"""Game sprites with DDPM and DDIM: train a diffusion model on 16×16 images, sample it both ways, compare them.

Exercise 1 of the homework on DDPM, DDIM and score-based models: one-shot perturbation, ε-MSE training of a conditional
U-Net under a linear β schedule, 50 samples of each kind, what the noise z is for, and quality against wall time.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments import launch
from experiments import sprites_report as figures
from experiments.config import ComputeConfig, ImageConfig
from experiments.features import train_judge
from experiments.images import load, source
from experiments.sampling import Model, draw
from experiments.training import initial_parameters, train_network
from jaxgen.data import ImageDataset
from jaxgen.diffusion import denoising_loss, from_betas, linear_betas, perturb
from jaxgen.nets import ContextUNet, UNet
from jaxgen.report import Report, image_grid
from jaxgen.samplers import ddim, ddpm


@dataclass(frozen=True)
class Config(ImageConfig, ComputeConfig):
    """Train a diffusion model on sprites and compare DDPM with DDIM."""

    network: Literal["unet", "context"] = "unet"
    """unet: residual U-Net; context: the course's context U-Net."""
    features: int = 32
    """Channels of the first level."""
    timesteps: int = 500
    """Length T of the chain."""
    beta_start: float = 1e-4
    beta_end: float = 0.02
    steps: int = 1800
    """Training steps."""
    learning_rate: float = 1.5e-3
    schedule: Literal["cosine", "linear"] = "cosine"
    """How the learning rate falls to 0."""
    drop_label: float = 0.1
    """Share of training examples that do not see their label."""
    judge_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 200
    """Samples per method in the table."""
    ddim_steps: tuple[int, ...] = (10, 20, 50, 100)

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "samples", "judge_steps", "features")
        if bad := [n for n in self.ddim_steps if not 1 <= n <= self.timesteps]:
            raise ValueError(
                f"--ddim-steps {bad}: a chain of T={self.timesteps} has subsets of 1 to {self.timesteps} steps"
            )
        if self.samples % 50:
            raise ValueError(f"--samples must be a multiple of 50, the batch that is timed, got {self.samples}")
        linear_betas(self.timesteps, self.beta_start, self.beta_end)
        if self.remat and self.network == "context":
            raise ValueError("--remat is for --network unet, whose blocks it computes anew")
        if not 0 <= self.drop_label < 1:
            raise ValueError(f"--drop-label is a share in [0, 1), got {self.drop_label}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=400, features=8, timesteps=20, steps=6, batch_size=8, judge_steps=4, samples=50,
        ddim_steps=(5,), checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", images=89_400, network="context", features=64, steps=32 * 894, batch_size=100,
        learning_rate=1e-3, schedule="linear", judge_steps=4000, samples=3000,
    ),
}  # fmt: skip


def build(config: Config, num_classes: int) -> UNet | ContextUNet:
    """The network, unconditional where the data have no labels."""
    if config.network == "unet":
        return UNet(config.features, num_classes=num_classes or None, **config.compute)
    return ContextUNet(config.features, num_classes=num_classes or None, dtype=config.compute["dtype"])


def train(config: Config, net, process, train_set: ImageDataset, test_set: ImageDataset, directory: Path):
    """Averaged parameters and the history of the losses, on training and on held-out images."""
    held_out = jnp.asarray(test_set.images[:256])
    held_out_labels = None if test_set.labels is None else jnp.asarray(test_set.labels[:256])
    params = initial_parameters(net, config.seed, held_out[:1], jnp.zeros(1))

    def loss(key, params, batch):
        x0, labels = batch
        drop_key, loss_key = jax.random.split(key)
        if labels is not None:
            labels = jnp.where(jax.random.bernoulli(drop_key, config.drop_label, labels.shape), -1, labels)
        return denoising_loss(loss_key, process, partial(net.apply, params), x0, cond=labels)

    def held_out_loss(params):
        network = partial(net.apply, params)
        losses = denoising_loss(jax.random.key(1), process, network, held_out, cond=held_out_labels)
        return jnp.mean(losses)

    trained = train_network(
        config, params, loss, (train_set.images, train_set.labels), directory,
        held_out_loss=held_out_loss, seed=config.seed, schedule=config.schedule,
    )  # fmt: skip
    return trained.averaged, trained.history


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        train_set, test_set = load(config)
        net = build(config, train_set.num_classes)
        jax.eval_shape(net.init, jax.random.key(0), train_set.images[:1], jnp.zeros(1))
    directory = launch.begin("sprites", config)
    report = Report(
        "Sprites: DDPM and DDIM",
        "Can a small diffusion model draw game sprites, what does the noise z do in sampling, and how many network "
        "calls does DDIM save over DDPM at what loss of quality?",
        launch.command("experiments.sprites"),
        config,
    )
    steps, names = config.timesteps, train_set.label_names or tuple(map(str, range(train_set.num_classes)))
    process = from_betas(linear_betas(steps, config.beta_start, config.beta_end))
    print(f"{len(train_set)} training and {len(test_set)} held-out images; writing {directory}")
    params, history = train(config, net, process, train_set, test_set, directory)
    judge = train_judge(train_set, test_set, steps=config.judge_steps, seed=config.seed, progress=config.progress)
    model = Model(process, net, params, train_set.images.shape[1:])

    report.section("The data and the forward process")
    images, held_out = train_set.images, test_set.images
    report.figure(image_grid(images[:60], 15), "data", f"Training images, 60 of {len(train_set)}, {source(config)}.")
    figures.forward_process(report, process, images)
    report.section("Training")
    figures.training(report, config.batch_size, model, history)

    report.section("Sampling")
    # every method is asked for the classes of the same held-out images, which are also the floor it is held against
    chosen = np.resize(np.arange(len(held_out)), config.samples)
    keys = jax.random.split(jax.random.key(config.seed + 3), config.samples)
    labels = None if test_set.labels is None else jnp.asarray(test_set.labels)[chosen]
    drawn = {f"DDPM-{steps}": draw(model, ddpm(), steps, keys, labels)}
    drawn |= {f"DDIM-{n}": draw(model, ddim(), n, keys, labels) for n in sorted(config.ddim_steps, reverse=True)}
    shown = 50 if 50 in config.ddim_steps else max(config.ddim_steps)
    ddpm_images, ddim_images = drawn[f"DDPM-{steps}"].images, drawn[f"DDIM-{shown}"].images
    report.figure(image_grid(ddpm_images[:50], 10), "ddpm", f"Fifty samples by DDPM, all {steps} steps.")
    report.figure(
        image_grid(ddim_images[:50], 10), "ddim", f"Fifty samples by DDIM-{shown}, from the same initial noise."
    )
    first = keys[:50], None if labels is None else labels[:50]
    silent = draw(model, ddpm(noise_scale=0.0), steps, *first).images
    figures.without_noise(report, silent, ddpm_images[:50], images[:2000])
    figures.trajectory(report, model, *first)
    # the chain's true last state, in place of the prior
    eps = jax.random.normal(jax.random.key(config.seed + 5), (config.samples, *model.shape))
    noised = perturb(process, jnp.asarray(held_out)[chosen], 1.0, eps)
    drawn[f"DDIM-{shown} from noised images"] = draw(model, ddim(), shown, keys, labels, noised)
    if labels is not None:
        figures.class_conditional(report, model, judge, names, config.seed)
    figures.nearest(report, ddpm_images, images)

    report.section("Quality and time")
    figures.compare(report, judge, drawn, images, held_out[: config.samples])
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

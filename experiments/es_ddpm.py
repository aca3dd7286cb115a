"""ES-DDPM: a sample of another model, noised to T′ and denoised from there, in place of the whole reverse chain.

Exercise 5 of the homework's theory (Lyu et al. 2022, early-stopped DDPM). The chain's beginning only settles what a
fast model has settled already; how much of it can be left out depends on how good that model's samples are.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp

from experiments import autoencoder, launch
from experiments import es_ddpm_report as figures
from experiments.config import UNetConfig
from experiments.features import Quality, train_judge
from experiments.images import load, source
from experiments.score_model import train
from jaxgen.data import to_uint8
from jaxgen.diffusion import from_betas, linear_betas
from jaxgen.nets import ConvDecoder, ConvEncoder
from jaxgen.report import Report, image_grid


@dataclass(frozen=True)
class Config(UNetConfig):
    """Train a VAE and a diffusion model, and let the second finish what the first begins."""

    timesteps: int = 200
    """Length T of the chain."""
    starts: tuple[int, ...] = (12, 25, 50, 100, 150)
    """T′, the steps of the chain that are left to take."""
    latents: int = 32
    """Dimensions of the VAE's code."""
    vae_steps: int = 3000
    """Training steps of the VAE."""
    vae_batch_size: int = 64
    judge_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 200
    """Samples in a set, drawn as one batch."""
    sets: int = 4
    """Independent sets of samples, over which errors are taken."""
    margin: float = 0.1
    """A method is as good as the whole chain if its distance is surely less than this share larger."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "latents", "vae_steps", "vae_batch_size", "judge_steps")
        self.at_least(2, "sets", why="for an error bar")
        self.at_least(10, "samples", why="for the figures")
        if not self.starts or not all(1 <= start < self.timesteps for start in self.starts):
            raise ValueError(f"--starts {self.starts}: T′ lies in [1, T) with T = {self.timesteps}")
        if not self.margin > 0:
            raise ValueError(f"--margin is a positive share, got {self.margin}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=400, channels=8, multipliers=(1,), timesteps=8, starts=(2, 4), latents=4, vae_steps=4,
        vae_batch_size=8, steps=6, batch_size=8, judge_steps=4, samples=10, sets=2, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", images=89_400, channels=128, multipliers=(1, 2, 2), timesteps=1000,
        starts=(50, 100, 200, 300, 400, 500, 700), latents=128, vae_steps=100_000, vae_batch_size=128, steps=100_000,
        batch_size=128, learning_rate=2e-4, ema=0.9999, judge_steps=4000, samples=1000, sets=5, margin=0.05,
        checkpoint_every=5000,
    ),
}  # fmt: skip


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        train_set, test_set = load(config)
        net = config.unet()
        jax.eval_shape(net.init, jax.random.key(0), train_set.images[:1], jnp.zeros(1))
        shape = train_set.images.shape[1:]
        fast = autoencoder.Autoencoder(ConvEncoder(config.latents), ConvDecoder(shape, learned_scale=True))
        begun = fast.initial(config.seed, shape)
    directory = launch.begin("es_ddpm", config)
    report = Report(
        "ES-DDPM: the chain begun late, from a VAE's sample",
        "How late can the reverse chain begin, from a noised sample of a variational autoencoder, before its images "
        "are worse than those of the whole chain; and is that faster than longer steps from pure noise?",
        launch.command("experiments.es_ddpm"),
        config,
    )
    print(f"{len(train_set)} training and {len(test_set)} held-out images; writing {directory}")
    train_images, held_out = to_uint8(train_set.images), jnp.asarray(to_uint8(test_set.images[:256]))
    quick = replace(config, steps=config.vae_steps, batch_size=config.vae_batch_size)
    vae = autoencoder.train(
        quick, fast, begun, train_set.images, test_set.images[:256], directory / "vae", seed=config.seed
    )
    scale = 1000 / config.timesteps
    chain = from_betas(linear_betas(config.timesteps, 1e-4 * scale, min(0.02 * scale, 0.999)))
    model = train(config, net, None, config.steps, config.seed, train_images, held_out, directory / "score")
    model = model._replace(process=chain)
    judge = train_judge(train_set, test_set, steps=config.judge_steps, seed=config.seed, progress=config.progress)
    quality = Quality(judge, train_set.images, test_set.images, config.samples)

    report.section("The two models")
    report.figure(
        image_grid(train_set.images[:60], 15), "data", f"Training images, 60 of {len(train_set)}, {source(config)}."
    )
    figures.training(report, vae, model)
    report.section("A late beginning")
    figures.compare(report, config, vae, model, quality)
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

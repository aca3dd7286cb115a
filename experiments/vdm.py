"""Variational diffusion models: a bound that does not depend on the schedule's shape, and a schedule that is learned.

The homework's question on Kingma et al. (2021): the loss of T steps tends to that of continuous time, which depends on
the schedule by its ends alone; the shape is then free to make the estimate of the loss vary least. All bits are those
of the integer pixel values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments import launch
from experiments import vdm_report as figures
from experiments.config import UNetConfig
from experiments.images import load, source
from experiments.training import initial_parameters, train_network
from jaxgen.diffusion import GaussianProcess, Network, gamma_conditioned, learned_schedule, linear_log_snr, vdm_bound
from jaxgen.distributions import likelihoods
from jaxgen.nets import UNet
from jaxgen.report import Report, image_grid
from jaxgen.training import History


@dataclass(frozen=True)
class Config(UNetConfig):
    """Train variational diffusion models with a fixed and with a learned schedule."""

    blocks: int = 1
    """Residual blocks of each level."""
    fourier: tuple[int, ...] = (6, 7)
    """The network also sees sin and cos of 2^n π z for these n, which tell neighbouring pixel values apart."""
    gamma_min: float = -13.3
    """−log SNR at t = 0, where the learned schedule's end begins."""
    gamma_max: float = 5.0
    """−log SNR at t = 1."""
    features: int = 1024
    """Hidden units of the monotone network that is the schedule's shape."""
    steps: int = 3000
    """Training steps of each model."""
    ema: float = 0.99
    """Decay of the averaged parameters that are evaluated."""
    likelihood: Literal["discretised_gaussian", "gaussian_softmax"] = "discretised_gaussian"
    """p(x|z_0): the Gaussian's mass about a level, or its density at the level over all levels (the paper's)."""
    bound_images: int = 128
    """Held-out images whose bound is estimated."""
    bound_draws: int = 16
    """Times at which each image's bound is looked at."""
    chains: tuple[int, ...] = (10, 30, 100, 300, 1000)
    """Steps T of the finite losses."""
    ode_images: int = 16
    """Held-out images whose likelihood by the probability-flow ODE is computed."""
    sampling_steps: int = 250

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "features", "sampling_steps")
        self.at_least(2, "bound_images", "bound_draws", "ode_images", why="for an error bar")
        if not self.chains or min(self.chains) < 1:
            raise ValueError(f"--chains are numbers of steps of at least 1, got {self.chains}")
        if not self.gamma_min < self.gamma_max:
            raise ValueError(f"need --gamma-min < --gamma-max, got {self.gamma_min} and {self.gamma_max}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=400, channels=8, multipliers=(1,), features=16, steps=6, batch_size=8, bound_images=4,
        bound_draws=2, chains=(5, 10), ode_images=2, sampling_steps=4, checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", size=32, channels=128, multipliers=(1,), blocks=32, steps=10_000_000, batch_size=128,
        learning_rate=2e-4, ema=0.9999, likelihood="gaussian_softmax", bound_images=10_000, bound_draws=32,
        fourier=(7, 8), chains=(10, 30, 100, 300, 1000, 10_000), ode_images=1000, sampling_steps=1000,
        checkpoint_every=20_000,
    ),
}  # fmt: skip


class Model(NamedTuple):
    """A trained network and the schedule it was trained with."""

    process: GaussianProcess
    params: Any
    history: History


class FourierUNet(nn.Module):
    """A U-Net that sees waves of its input too (Kingma et al. 2021, appendix C)."""

    unet: Callable[..., UNet]
    powers: tuple[int, ...]

    @nn.compact
    def __call__(self, z, t, cond=None):
        """(B, H, W, C) -> the same shape."""
        angles = [2.0**n * jnp.pi * z for n in self.powers]
        seen = jnp.concatenate([z, *(wave(angle) for angle in angles for wave in (jnp.sin, jnp.cos))], axis=-1)
        return self.unet(out_channels=z.shape[-1])(seen, t, cond)


class Objective(NamedTuple):
    """The bound of the models of one configuration."""

    net: nn.Module
    likelihood: likelihoods.Likelihood
    gamma_min: float
    gamma_max: float

    def precondition(self, process: GaussianProcess, network: Network) -> Network:
        """The network by γ, not by t: the schedule may move under it."""
        return gamma_conditioned(process, network, self.gamma_min, self.gamma_max)

    def __call__(self, key, process, params, x0, **options):
        """The bound's terms, (B,), in nats."""
        network = partial(self.net.apply, params)
        options = {"likelihood": self.likelihood, "precondition": self.precondition} | options
        return vdm_bound(key, process, network, x0, **options)


def objective_of(config: Config) -> Objective:
    """The bound and network that a configuration asks for."""
    net = FourierUNet(partial(config.unet, blocks=config.blocks), config.fourier)
    return Objective(net, getattr(likelihoods, config.likelihood)(), config.gamma_min, config.gamma_max)


def train(config: Config, objective: Objective, learn: bool, train_images, held_out, directory: Path) -> Model:
    """A model with a fixed straight γ, or with one learned: its ends by the bound, its shape by the variance."""
    params = {"network": initial_parameters(objective.net, config.seed, held_out[:1], jnp.zeros(1))}
    fixed = linear_log_snr(config.gamma_min, config.gamma_max)
    if learn:
        params["process"] = learned_schedule(
            jax.random.key(config.seed + 7), config.gamma_min, config.gamma_max, config.features
        )

    def bits(key, params, batch, variance_gradient=learn):
        process = params.get("process", fixed)
        terms = objective(key, process, params["network"], batch[0], variance_gradient=variance_gradient)
        dims = held_out[0].size * np.log(2)
        return terms.total / dims, {"diffusion_squared": (terms.diffusion / dims) ** 2}

    trained = train_network(
        config, params, bits, (train_images,), directory, seed=config.seed, clip_apart=True,
        held_out_loss=lambda params: jnp.mean(bits(jax.random.key(1), params, (held_out,), False)[0]),
    )  # fmt: skip
    return Model(trained.averaged.get("process", fixed), trained.averaged["network"], trained.history)


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        train_set, test_set = load(config)
        objective = objective_of(config)
        jax.eval_shape(objective.net.init, jax.random.key(0), train_set.images[:1], jnp.zeros(1))
    directory = launch.begin("vdm", config)
    report = Report(
        "Variational diffusion models",
        "How many bits per pixel value does a diffusion model need, does the bound depend on the schedule's shape, and "
        "what is gained by learning it?",
        launch.command("experiments.vdm"),
        config,
    )
    print(f"{len(train_set)} training and {len(test_set)} held-out images; writing {directory}")
    held_out = jnp.asarray(test_set.images[:256])
    models = {
        name: train(config, objective, name == "learned", train_set.images, held_out, directory / name)
        for name in ("fixed", "learned")
    }
    report.section("The data")
    report.figure(
        image_grid(train_set.images[:60], 15), "data", f"Training images, 60 of {len(train_set)}, {source(config)}."
    )
    report.section("Two schedules")
    figures.schedules(report, models)
    figures.training(report, models, config.batch_size)
    measure = figures.Measure(objective, test_set.images[: config.bound_images], config.bound_draws, config.seed + 5)
    report.section("The bound does not depend on the shape, its variance does")
    figures.shapes(report, measure, models, config.batch_size)
    report.section("From T steps to continuous time")
    figures.finite(report, measure, models["learned"], config.chains)
    report.section("Bits per dimension")
    figures.likelihood(report, measure, models, config.ode_images, config.seed)
    figures.compression(report, test_set.images)
    report.section("Samples")
    figures.samples(report, objective, models, held_out.shape[1:], config.sampling_steps, config.seed)
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

"""Improved DDPM: schedules, learned variances, objectives and the variational bound of the chain they make.

The seminar's section on Nichol & Dhariwal (2021): its figures of the signal along the chain and of quality when the
first part of the reverse chain is skipped, and a table of bits per dimension and Fréchet distance over schedule,
objective, variance and number of steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments import improved_ddpm_bounds as bounds
from experiments import improved_ddpm_samples as samples
from experiments import launch
from experiments.config import UNetConfig
from experiments.drawing import Drawer
from experiments.features import Quality, train_judge
from experiments.images import load, source
from experiments.training import initial_parameters, train_network
from jaxgen.diffusion import (
    Denoiser,
    GaussianProcess,
    Network,
    cosine,
    cosine_betas,
    denoiser,
    denoising_loss,
    from_betas,
    gamma_conditioned,
    hybrid_loss,
    importance,
    linear_betas,
    linear_log_snr,
    vlb_loss,
    vp,
    weighting,
)
from jaxgen.report import Report, image_grid
from jaxgen.training import History

GAMMA = -9.0, 7.0  # −log SNR where images of a few bits are told apart from noise and noise from images
Objective = Literal["simple", "hybrid", "bound", "min-SNR", "sigmoid"]


@dataclass(frozen=True)
class Config(UNetConfig):
    """Train diffusion models for likelihood and compare schedules, objectives and variances."""

    timesteps: int = 500
    """Length T of the chain."""
    linear: tuple[Objective, ...] = ("hybrid",)
    """Objectives to train under the linear schedule: simple, hybrid, bound, min-SNR, sigmoid."""
    cosine: tuple[Objective, ...] = ("simple", "hybrid", "bound", "min-SNR", "sigmoid")
    """Objectives to train under the cosine schedule."""
    stem_steps: int = 2400
    """Training steps of the network that all others begin from, at all noise levels alike; 0: each from scratch."""
    steps: int = 400
    """Training steps of each network, after the stem's."""
    ema: float = 0.99
    """Decay of the averaged parameters that are evaluated."""
    judge_steps: int = 250
    """Training steps of the classifier whose features the Fréchet distance uses."""
    samples: int = 100
    """Samples per method, drawn as one batch."""
    sampling_steps: tuple[int, ...] = (10, 25, 50)
    """Steps of the strided chains that are sampled; the last is also the length of the chain that is cut short."""
    chains: tuple[int, ...] = (10, 25, 50, 100, 250, 500)
    """Steps of the strided chains whose bound is estimated."""
    bound_images: int = 128
    """Held-out images whose bound is estimated."""
    bound_draws: int = 8
    """Random steps at which the bound's terms are looked at, for each image."""
    skipped: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    """Shares of the reverse chain to skip."""
    sets: int = 3
    """Sets of samples that say whether skipping a fifth harms."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "judge_steps", "bound_draws")
        self.at_least(0, "stem_steps")
        if self.samples < 20 or self.bound_images < 2 or self.sets < 2:
            raise ValueError(
                f"the figures show 20 samples, an error bar takes 2 images and 2 sets: got --samples {self.samples}, "
                f"--bound-images {self.bound_images} and --sets {self.sets}"
            )
        for name in ("sampling_steps", "chains"):
            lengths = getattr(self, name)
            if not lengths or not all(2 <= n <= self.timesteps for n in lengths):
                raise ValueError(
                    f"--{name.replace('_', '-')} {lengths}: a chain of T={self.timesteps} has subsets of 2 to T steps"
                )
        if 0 not in self.skipped or not all(0 <= share < 1 for share in self.skipped):
            raise ValueError(f"--skipped {self.skipped} must be shares in [0, 1), 0 among them to compare with")
        for name in ("linear", "cosine"):
            if "hybrid" not in getattr(self, name) or set(getattr(self, name)) - set(get_args(Objective)):
                raise ValueError(
                    f"--{name} {getattr(self, name)}: choose of {', '.join(get_args(Objective))}; hybrid must be "
                    "among them, for the figures compare the schedules by it"
                )


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=400, channels=8, multipliers=(1,), timesteps=20,
        cosine=("hybrid", "bound", "sigmoid"), stem_steps=4, steps=6, batch_size=8, judge_steps=4, samples=20,
        sampling_steps=(4, 5), chains=(5, 20), bound_images=8, bound_draws=2, skipped=(0.0, 0.2), sets=2,
        checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", images=89_400, channels=128, multipliers=(1, 2, 2), timesteps=4000,
        linear=("simple", "hybrid", "bound"), stem_steps=0, steps=500_000, batch_size=128, learning_rate=1e-4,
        ema=0.9999, judge_steps=4000, samples=3000, sampling_steps=(25, 50, 100, 200, 400),
        chains=(25, 50, 100, 200, 400, 1000, 2000, 4000), bound_images=2000, bound_draws=64,
        skipped=(0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5), checkpoint_every=10_000,
    ),
}  # fmt: skip


class Model(NamedTuple):
    """A trained network of one schedule and objective."""

    name: str
    process: GaussianProcess
    params: Any
    learned: bool
    history: History


class Schedule(NamedTuple):
    """A chain, and the continuous process that it tends to."""

    chain: GaussianProcess
    limit: GaussianProcess


def schedules(timesteps: int) -> dict[str, Schedule]:
    """Nichol & Dhariwal's two schedules; the linear one is scaled so that its end is that of T = 1000."""
    scale = 1000 / timesteps
    linear = linear_betas(timesteps, 1e-4 * scale, min(0.02 * scale, 0.999))
    return {
        "linear": Schedule(from_betas(linear), vp()),
        "cosine": Schedule(from_betas(cosine_betas(timesteps)), cosine()),
    }


def learns_variance(objective: Objective) -> bool:
    """Whether a network of this objective has an output for its variance."""
    return objective in ("hybrid", "bound")


def unet(config: Config, colors: int) -> nn.Module:
    """The U-Net: ε̂, and as many outputs again for the variance, which not every objective trains."""
    return config.unet(out_channels=2 * colors)


def network(net: nn.Module, learned: bool, process: GaussianProcess, params: Any) -> Network:
    """The U-Net told log-SNR for time, so that one stem serves every schedule; without v where it is not learned."""

    def outputs(x, t, cond):
        found = net.apply(params, x, t, cond)
        return found if learned else found[..., : x.shape[-1]]

    return gamma_conditioned(process, outputs, *GAMMA)


def make_denoiser(net: nn.Module, learned: bool, process: GaussianProcess, params: Any) -> Denoiser:
    """The denoiser; x̂0 is held to the images' range, as Nichol & Dhariwal do for samples and bounds alike."""
    return denoiser(process, network(net, learned, process, params), learned_variance=learned, clip=1.0)


def loss_of(objective: Objective, schedule: Schedule) -> Callable[..., Any]:
    """(key, network, x0) -> losses; for the bound (key, network, x0, history) -> (losses, metrics, {"history"})."""
    process = schedule.chain
    match objective:
        case "simple":
            return lambda key, network, x0: denoising_loss(key, process, network, x0)
        case "hybrid":
            return lambda key, network, x0: hybrid_loss(key, process, network, x0)
        case "min-SNR" | "sigmoid":
            weight = weighting.min_snr() if objective == "min-SNR" else weighting.sigmoid(schedule.limit)
            return lambda key, network, x0: denoising_loss(key, process, network, x0, weighting=weight)

    def bound(key, network, x0, history):
        time_key, loss_key = jax.random.split(key)
        t, weights = importance.draw(time_key, history, len(x0))
        losses = vlb_loss(loss_key, process, network, x0, variance="learned", times=lambda *_: t)
        return weights * losses, {}, {"history": importance.record(history, t, losses)}

    return bound


def train_stem(config: Config, images, held_out, directory: Path) -> Any:
    """Parameters that every network begins from: of the simple objective at log-SNRs alike, or the first ones."""
    shape = images.shape[1:]
    net, process = unet(config, shape[-1]), linear_log_snr(*GAMMA)
    params = initial_parameters(net, config.seed, jnp.zeros((1, *shape)), jnp.zeros(1))
    if not config.stem_steps:
        return params

    def loss(key, params, batch):
        return denoising_loss(key, process, network(net, False, process, params), batch[0])

    return train_network(
        replace(config, steps=config.stem_steps), params, loss, (images,), directory, seed=config.seed,
        held_out_loss=lambda params: jnp.mean(loss(jax.random.key(1), params, (held_out,))),
    ).averaged  # fmt: skip


def train(
    config: Config, name: str, schedule: Schedule, objective: Objective, stem: Any, images, held_out, directory: Path
) -> Model:
    """A network trained on from the stem under one schedule and objective, and its held-out error in ε on the way."""
    learned, process = learns_variance(objective), schedule.chain
    net, objective_loss = unet(config, images.shape[-1]), loss_of(objective, schedule)

    def loss(key, params, batch, **carry):
        return objective_loss(key, network(net, learned, process, params), batch[0], **carry)

    def held_out_error(params, **_):
        return jnp.mean(denoising_loss(jax.random.key(1), process, network(net, False, process, params), held_out))

    trained = train_network(
        config, stem, loss, (images,), directory, held_out_loss=held_out_error, seed=config.seed + 10,
        carry={"history": importance.loss_history(config.timesteps)} if objective == "bound" else None,
    )  # fmt: skip
    return Model(name, process, trained.averaged, learned, trained.history)


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        train_set, test_set = load(config)
        shape = train_set.images.shape[1:]
        jax.eval_shape(unet(config, shape[-1]).init, jax.random.key(0), train_set.images[:1], jnp.zeros(1))
    directory = launch.begin("improved_ddpm", config)
    report = Report(
        "Improved DDPM: training for likelihood",
        "What do the cosine schedule, learned variances and the choice of objective do for the likelihood and the "
        "samples of a diffusion model, and how much of the reverse chain can be skipped?",
        launch.command("experiments.improved_ddpm"),
        config,
    )
    print(f"{len(train_set)} training and {len(test_set)} held-out images; writing {directory}")
    both = schedules(config.timesteps)
    held_out = jnp.asarray(test_set.images[:256])
    stem = train_stem(config, train_set.images, held_out, directory / "stem")
    models = {}
    for kind, objective in [*(("linear", o) for o in config.linear), *(("cosine", o) for o in config.cosine)]:
        name = f"{kind}, {objective}"
        models[name] = train(
            config, name, both[kind], objective, stem, train_set.images, held_out, directory / f"{kind}-{objective}"
        )
    judge = train_judge(train_set, test_set, steps=config.judge_steps, seed=config.seed, progress=config.progress)
    quality = Quality(judge, train_set.images, test_set.images, config.samples)
    denoisers = {learned: partial(make_denoiser, unet(config, shape[-1]), learned) for learned in (False, True)}
    keys = jax.random.split(jax.random.key(config.seed + 3), config.samples)
    draws = {learned: Drawer(denoise, shape, keys) for learned, denoise in denoisers.items()}

    report.section("The forward chain")
    report.figure(
        image_grid(train_set.images[:60], 15), "data", f"Training images, 60 of {len(train_set)}, {source(config)}."
    )
    samples.forward_chain(report, {name: both[name].chain for name in both}, train_set.images[:2])
    report.section("Training")
    samples.training(report, models, config)
    report.section("The bound")
    bounds.compare(report, models, denoisers, test_set.images[: config.bound_images], config)
    report.section("Samples")
    samples.compare(report, models, draws, quality, config.sampling_steps)
    report.section("Skipping the first part of the reverse chain")
    hybrid = {kind: models[f"{kind}, hybrid"] for kind in both}
    samples.skipping(report, hybrid, draws[True], quality, config.sampling_steps[-1], config.skipped, config.sets)
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

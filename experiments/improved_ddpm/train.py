"""The networks of the improved-DDPM exercise, and their training."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.improved_ddpm.config import Config, Objective
from experiments.improved_ddpm.objectives import Schedule, learns_variance, loss_of, schedules
from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.training import apply_network, initial_parameters, train_network
from jaxgen.diffusion import (
    Denoiser,
    GaussianProcess,
    Network,
    denoiser,
    denoising_loss,
    gamma_conditioned,
    importance,
    linear_log_snr,
)
from jaxgen.training import History

GAMMA = -9.0, 7.0  # the range of −log SNR that the network distinguishes


class Trained(NamedTuple):
    """A trained network of one schedule and objective.

    Attributes:
        schedule: name of its schedule.
        objective: name of its objective.
        process: its chain.
        params: its averaged parameters.
        learned: whether it has an output for its variance.
        history: its losses.
    """

    schedule: str
    objective: Objective
    process: GaussianProcess
    params: Any
    learned: bool
    history: History

    @property
    def name(self) -> str:
        """Schedule and objective."""
        return f"{self.schedule}, {self.objective}"


def build(config: Config, colors: int) -> nn.Module:
    """The U-Net: ε̂, and as many outputs again for the variance, which not every objective trains."""
    return config.build_network(out_channels=2 * colors)


def network(net: nn.Module, learned: bool, process: GaussianProcess, params: Any) -> Network:
    """The U-Net of log-SNR instead of time, so that one pretrained network serves both schedules.

    Args:
        net: the U-Net.
        learned: whether the outputs for the variance are kept.
        process: the process whose log-SNR it is given.
        params: its parameters.
    """

    def outputs(x, t, cond):
        found = apply_network(net, params, x, t, cond)
        return found if learned else found[..., : x.shape[-1]]

    return gamma_conditioned(process, outputs, *GAMMA)


def make_denoiser(net: nn.Module, learned: bool, process: GaussianProcess, params: Any) -> Denoiser:
    """The denoiser; x̂0 is clipped to the images' range, as Nichol & Dhariwal do for samples and bounds alike."""
    return denoiser(process, network(net, learned, process, params), learned_variance=learned, clip=1.0)


def train_all(run: Run[Config], net: nn.Module, data: Images) -> dict[str, Trained]:
    """Train a network for each schedule and objective.

    Args:
        run: the run.
        net: the U-Net.
        data: training and held-out images.

    Returns:
        The networks by name, such as "cosine, hybrid".
    """
    config, held_out = run.config, jnp.asarray(data.held_out.images[:256])
    start = pretrain(run, net, data.train.images, held_out)
    networks = [
        train(run, net, name, schedule, objective, start, data.train.images, held_out)
        for name, schedule in schedules(config.timesteps).items()
        for objective in getattr(config, name)
    ]
    return {trained.name: trained for trained in networks}


def pretrain(run: Run[Config], net: nn.Module, images, held_out) -> Any:
    """Parameters that every network starts from: of the simple objective at uniform log-SNR, or the first ones."""
    config, shape, process = run.config, images.shape[1:], linear_log_snr(*GAMMA)
    params = initial_parameters(net, config.seed, jnp.zeros((1, *shape)), jnp.zeros(1))
    if not config.pretraining_steps:
        return params

    def loss(key, params, batch):
        return denoising_loss(key, process, network(net, False, process, params), batch[0])

    return train_network(
        run, "pretrained", params, loss, (images,), seed=config.seed, steps=config.pretraining_steps,
        held_out_loss=lambda params: jnp.mean(loss(jax.random.key(1), params, (held_out,))),
    ).averaged  # fmt: skip


def train(
    run: Run[Config], net: nn.Module, name: str, schedule: Schedule, objective: Objective, start: Any, images, held_out
) -> Trained:
    """Train a network of one schedule and objective, and follow its held-out error in ε."""
    config, process, learned = run.config, schedule.chain, learns_variance(objective)
    objective_loss = loss_of(objective, schedule)

    def loss(key, params, batch, **carry):
        return objective_loss(key, network(net, learned, process, params), batch[0], **carry)

    def held_out_error(params, **_):
        return jnp.mean(denoising_loss(jax.random.key(1), process, network(net, False, process, params), held_out))

    trained = train_network(
        run, f"{name}-{objective}", start, loss, (images,), held_out_loss=held_out_error, seed=config.seed + 10,
        carry={"history": importance.loss_history(config.timesteps)} if objective == "bound" else None,
    )  # fmt: skip
    return Trained(name, objective, process, trained.averaged, learned, trained.history)

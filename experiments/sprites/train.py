"""The network of the sprites exercise, its loss, and its training."""

from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.kit import launch
from experiments.kit.export import load_parameters
from experiments.kit.images import Images, read_description
from experiments.kit.run import Run
from experiments.kit.sampling import Model
from experiments.kit.training import initial_parameters, train_network
from experiments.sprites.config import Config
from jaxgen.diffusion import GaussianProcess, denoising_loss, from_betas, guidance, linear_betas
from jaxgen.nets import ContextUNet
from jaxgen.training import History

NULL = -1  # the label of an example whose class the network does not see


def chain(config: Config) -> GaussianProcess:
    """The chain of T steps with a linear β schedule."""
    return from_betas(linear_betas(config.timesteps, config.beta_start, config.beta_end))


def build(config: Config, num_classes: int) -> nn.Module:
    """The network, unconditional where the data have no labels."""
    if config.network == "context":
        return ContextUNet(config.channels, num_classes=num_classes or None, dtype=config.compute["dtype"])
    return config.build_network(num_classes=num_classes or None)


def train(run: Run[Config], net: nn.Module, data: Images) -> tuple[Model, History]:
    """Train the network by the ε-MSE; return the model with its averaged parameters, and its losses."""
    config, process = run.config, chain(run.config)
    held_out = jnp.asarray(data.held_out.images[:256])
    held_out_labels = None if data.held_out.labels is None else jnp.asarray(data.held_out.labels[:256])
    params = initial_parameters(net, config.seed, held_out[:1], jnp.zeros(1))

    def loss(key, params, batch):
        x0, labels = batch
        drop_key, loss_key = jax.random.split(key)
        if labels is not None:
            labels = guidance.drop_condition(drop_key, labels, NULL, config.drop_label)
        return denoising_loss(loss_key, process, partial(net.apply, params), x0, cond=labels)

    def held_out_loss(params):
        network = partial(net.apply, params)
        return denoising_loss(jax.random.key(1), process, network, held_out, cond=held_out_labels).mean()

    trained = train_network(
        run, "", params, loss, (data.train.images, data.train.labels),
        held_out_loss=held_out_loss, seed=config.seed, decay=config.decay,
    )  # fmt: skip
    return Model(process, net, trained.averaged, data.train.images.shape[1:]), trained.history


def load_model(directory: Path | str) -> Model:
    """Load the model of a run whose training has ended.

    Args:
        directory: the run's folder, such as runs/sprites/<time>.

    Returns:
        The network with its averaged parameters, and the chain it was trained with.

    Raises:
        BadInput: if the folder holds no run of this exercise.
        FileNotFoundError: if its training has not ended.
    """
    directory = Path(directory)
    config, data = launch.restore(Config, directory), read_description(directory)
    params = load_parameters(directory / "params.safetensors")
    return Model(chain(config), build(config, data.num_classes), params, data.shape)

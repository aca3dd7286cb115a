"""Training of every chain on every kind of data."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.discrete.config import Config
from experiments.discrete.data import TOY_CATEGORIES, Tokens, toy
from experiments.discrete.networks import ImageTokens, TextTokens, ToyTokens
from experiments.kit.run import Run
from experiments.kit.training import initial_parameters, parameter_count, train_network
from jaxgen import discrete_diffusion
from jaxgen.training import History

CHAINS = ("masked", "uniform", "ordinal")
TOY = "enumerable"
FOLLOWED = 128  # held-out examples on which the loss is followed
TOY_EXAMPLES = 100_000


class Model(NamedTuple):
    """A trained chain.

    Attributes:
        process: the chain.
        net: the network.
        params: its averaged parameters.
        history: the history of the loss.
        parameters: their number.
    """

    process: discrete_diffusion.CategoricalProcess
    net: nn.Module
    params: Any
    history: History
    parameters: int

    def denoise(self, params: Any) -> discrete_diffusion.TokenDenoiser:
        """The denoiser with these parameters."""
        return discrete_diffusion.denoiser(self.process, partial(self.net.apply, params))


def process(name: str, categories: int, config: Config) -> discrete_diffusion.CategoricalProcess:
    """A chain by name, all with the linear schedule in continuous time."""
    schedule = discrete_diffusion.linear_schedule()
    match name:
        case "masked":
            return discrete_diffusion.absorbing(categories, schedule)
        case "uniform":
            return discrete_diffusion.uniform(categories, schedule)
        case _:
            return discrete_diffusion.ordinal(categories, schedule, config.ordinal_width)


def network(kind: str, chain: discrete_diffusion.CategoricalProcess, config: Config) -> nn.Module:
    """The network for a kind of data."""
    sizes = chain.states, chain.categories
    if kind == TOY:
        return ToyTokens(*sizes)
    if kind == "text":
        return TextTokens(*sizes, config.width, config.dilations)
    return ImageTokens(*sizes, config.channels, config.multipliers)


def train(run: Run[Config], data: dict[str, Tokens]) -> dict[str, dict[str, Model]]:
    """Train each chain on each kind of data, and on the enumerable law."""
    config = run.config
    steps = {
        "sprites": config.sprite_steps, "digits": config.digit_steps, "text": config.text_steps, TOY: config.toy_steps,
    }  # fmt: skip
    draws = toy().draw(TOY_EXAMPLES + FOLLOWED, config.seed)
    enumerable = Tokens(draws[FOLLOWED:], draws[:FOLLOWED], TOY_CATEGORIES, None)
    return {
        kind: {name: train_chain(run, kind, name, tokens, steps[kind]) for name in CHAINS}
        for kind, tokens in {**data, TOY: enumerable}.items()
    }


def train_chain(run: Run[Config], kind: str, name: str, tokens: Tokens, steps: int) -> Model:
    """Train one chain by its bound in continuous time."""
    config = run.config
    chain = process(name, tokens.categories, config)
    net = network(kind, chain, config)
    first = initial_parameters(net, config.seed, jnp.asarray(tokens.train[:1]), jnp.zeros(1))
    bits = bits_of(chain, net)
    followed = partial(bits, jax.random.key(config.seed + 2), batch=(np.asarray(tokens.held_out[:FOLLOWED]),))
    trained = train_network(
        run,
        f"{kind}/{name}",
        first,
        bits,
        (tokens.train,),
        held_out_loss=lambda params: followed(params).mean(),
        seed=config.seed,
        steps=steps,
    )
    params = jax.tree.map(np.asarray, trained.averaged)
    return Model(chain, net, params, trained.history, parameter_count(first))


def bits_of(chain: discrete_diffusion.CategoricalProcess, net: nn.Module) -> Callable[..., jax.Array]:
    """The loss function, in bits per token."""

    def bits(key: jax.Array, params: Any, batch: tuple[Any]) -> jax.Array:
        x0 = jnp.asarray(batch[0])
        return discrete_diffusion.bound_loss(key, chain, partial(net.apply, params), x0) / jnp.log(2.0)

    return bits

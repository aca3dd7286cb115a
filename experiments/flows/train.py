"""Glow on digits and on sprites."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.flows.config import Config
from experiments.flows.data import Data
from experiments.kit.run import Run
from experiments.kit.training import parameter_count, train_network
from jaxgen import flows
from jaxgen.distributions import standard_normal
from jaxgen.nets import ConvConditioner
from jaxgen.training import History

TO_REAL = flows.logit(0.05)
FIRST = 256  # images from which actnorm is initialised
FOLLOWED = 512  # images on which the loss is followed


class Model(NamedTuple):
    """A trained flow of images.

    Attributes:
        flow: parameters -> the flow of images in [0, 1].
        params: averaged parameters.
        history: the history of the loss.
        parameters: their number.
    """

    flow: Callable[[Any], flows.Flow]
    params: Any
    history: History
    parameters: int


def train(run: Run[Config], data: dict[str, Data]) -> dict[str, Model]:
    """The flow of each data set."""
    return {name: _train(run, name, of) for name, of in data.items()}


def _train(run: Run[Config], name: str, data: Data) -> Model:
    config = run.config
    net = ConvConditioner(outputs=2, channels=config.channels)
    event = data.train.images.shape[1:]
    glow = flows.glow(net.init, net.apply, event, levels=config.scales, steps=config.glow_steps)

    def flow(params):
        return flows.Flow(flows.chain([TO_REAL, glow.bijection(params)]), standard_normal())

    def bits(key, params, batch):
        bound = flows.dequantised_bound(key, flow(params), batch, levels=data.levels)
        return -bound / (math.prod(event) * math.log(2))

    def loss(key, params, batch):
        return bits(key, params, batch[0])

    train_images, held_out = data.integers
    key = jax.random.key(config.seed)
    u, _ = flows.uniform_dequantiser()(key, jnp.asarray(train_images[:FIRST], jnp.float32))
    real, _ = TO_REAL.forward((train_images[:FIRST] + u) / data.levels)
    first = jax.jit(glow.init)(jax.random.key(config.seed + 1), real)
    followed = partial(bits, jax.random.key(config.seed + 2), batch=jnp.asarray(held_out[:FOLLOWED]))
    trained = train_network(
        run, name, first, loss, (train_images,), held_out_loss=lambda params: followed(params).mean(), seed=config.seed
    )
    return Model(flow, _as_lists(trained.averaged), trained.history, parameter_count(first))


def _as_lists(params: Any) -> list[Any]:
    """Parameters as arrays on one device, with lists of steps by level."""
    return [[jax.tree.map(np.asarray, step) for step in level] for level in params]

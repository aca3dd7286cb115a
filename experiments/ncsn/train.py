"""The two score networks of the NCSN exercise, with and without the noise level as an input, and their training."""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.training import initial_parameters, train_network
from experiments.ncsn.config import Config
from experiments.ncsn.ladder import Ladder
from jaxgen.diffusion import GaussianProcess, Network, denoising_loss, ncsn, weighting
from jaxgen.training import History


class ScoreModel(NamedTuple):
    """A trained score network.

    Attributes:
        conditional: whether the network sees the noise level, as NCSN's does and NCSNv2's does not.
        net: the network.
        last: its parameters after the last step.
        averaged: its averaged parameters.
        history: its losses.
    """

    conditional: bool
    net: nn.Module
    last: Any
    averaged: Any
    history: History


def score_network(process: GaussianProcess, net: nn.Module, params: Any, conditional: bool) -> Network:
    """The score s(x, t) of a conditional network, or s(x)/σ of an unconditional one (technique 3)."""
    network = partial(net.apply, params)
    return network if conditional else ncsn.sigma_scaled_score(process, network)


def train(
    run: Run[Config], name: str, net: nn.Module, ladder: Ladder, data: Images, *, conditional: bool
) -> ScoreModel:
    """Train a network on all levels, weighted by λ = σ² (Song & Ermon 2019, eq. 6).

    Args:
        run: the run.
        name: folder of the network within the run's.
        net: the network.
        ladder: the noise levels.
        data: the images.
        conditional: whether the network sees the noise level.
    """
    process, held_out = ladder.process, jnp.asarray(data.held_out.images[:256])
    params = initial_parameters(net, run.config.seed, held_out[:1], jnp.zeros(1))

    def loss(key, params, batch):
        return denoising_loss(
            key, process, score_network(process, net, params, conditional), batch[0], predicts="score",
            weighting=weighting.simple(), times=ncsn.noise_level_times(ladder.n),
        )  # fmt: skip

    trained = train_network(
        run, name, params, loss, (data.train.images,), seed=run.config.seed, decay="constant",
        held_out_loss=lambda params: jnp.mean(loss(jax.random.key(1), params, (held_out,))),
    )  # fmt: skip
    return ScoreModel(conditional, net, trained.params, trained.averaged, trained.history)

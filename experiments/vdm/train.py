"""The bound that trains a variational diffusion model, and the training."""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.training import initial_parameters, train_network
from experiments.vdm.config import Config
from experiments.vdm.network import FourierNetwork
from experiments.vdm.shapes import with_shape
from jaxgen.diffusion import (
    GaussianProcess,
    Network,
    VDMBound,
    gamma_conditioned,
    learned_schedule,
    vdm_bound,
)
from jaxgen.distributions import likelihoods
from jaxgen.training import History


class Model(NamedTuple):
    """A trained network, the schedule it was trained with, and its losses."""

    process: GaussianProcess
    params: Any
    history: History


class Objective(NamedTuple):
    """The bound of all models of one configuration.

    Attributes:
        net: the network.
        likelihood: p(x|z_0).
        gamma_min: γ at which the network's time input is 0.
        gamma_max: γ at which it is 1.
    """

    net: nn.Module
    likelihood: likelihoods.Likelihood
    gamma_min: float
    gamma_max: float

    def precondition(self, process: GaussianProcess, network: Network) -> Network:
        """The network as a function of γ instead of t, so that the schedule may change during training."""
        return gamma_conditioned(process, network, self.gamma_min, self.gamma_max)

    def network(self, process: GaussianProcess, params: Any) -> Network:
        """The network of a process as a function of t."""
        return self.precondition(process, partial(self.net.apply, params))

    def __call__(
        self, key: jax.Array, process: GaussianProcess, params: Any, x0: jax.Array, **options: Any
    ) -> VDMBound:
        """The terms of the bound on −log p(x0), each (b,), in nats."""
        options = {"likelihood": self.likelihood, "precondition": self.precondition} | options
        return vdm_bound(key, process, partial(self.net.apply, params), x0, **options)


def build(config: Config) -> FourierNetwork:
    """The network."""
    return FourierNetwork(config.build_network, config.fourier)


def objective_of(config: Config, net: nn.Module) -> Objective:
    """The bound of a network under the flags' likelihood and ends."""
    return Objective(net, getattr(likelihoods, config.likelihood)(), config.gamma_min, config.gamma_max)


def train(run: Run[Config], name: str, objective: Objective, data: Images, *, learn: bool) -> Model:
    """Train a model on bits per dimension.

    Args:
        run: the run.
        name: folder of the model within the run's.
        objective: the bound.
        data: the images.
        learn: whether the schedule is learned: its ends by the bound, its shape by the variance of the bound's
            estimate. If not, γ is linear in t.
    """
    config = run.config
    held_out = jnp.asarray(data.held_out.images[:256])
    initial = learned_schedule(jax.random.key(config.seed + 7), config.gamma_min, config.gamma_max, config.features)
    fixed = with_shape(initial, "straight")
    params = {"network": initial_parameters(objective.net, config.seed, held_out[:1], jnp.zeros(1))}
    if learn:
        params["process"] = initial
    nats = held_out[0].size * np.log(2)

    def bits(key, params, batch, variance_gradient=learn):
        process = params.get("process", fixed)
        terms = objective(key, process, params["network"], batch[0], variance_gradient=variance_gradient)
        return terms.total / nats, {"diffusion_squared": (terms.diffusion / nats) ** 2}

    trained = train_network(
        run, name, params, bits, (data.train.images,), seed=config.seed, clip_separately=True,
        held_out_loss=lambda params: jnp.mean(bits(jax.random.key(1), params, (held_out,), False)[0]),
    )  # fmt: skip
    process = with_shape(trained.averaged["process"], "learned") if learn else fixed
    return Model(process, trained.averaged["network"], trained.history)

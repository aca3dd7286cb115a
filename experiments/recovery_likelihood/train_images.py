"""The training of the energies of images: score matching, which needs no chains, and then recovery likelihood."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.images import Images
from experiments.kit.run import BadInput, Run
from experiments.kit.training import initial_parameters, parameter_count, train_network
from experiments.recovery_likelihood.config import Config
from experiments.recovery_likelihood.sprites import ImageChain, folded, image_chain
from jaxgen.training import Diverged, History

FOLLOWED = 256  # held-out images on which the loss of score matching is followed


class ImageModels(NamedTuple):
    """The trained energies.

    Attributes:
        chain: the ladder and the network.
        start: averaged parameters by score matching, at which recovery likelihood begins.
        recovered: averaged parameters by recovery likelihood.
        parameters: number of parameters.
        histories: of both trainings.
    """

    chain: ImageChain
    start: Any
    recovered: Any
    parameters: int
    histories: dict[str, History]


def build(config: Config, data: Images) -> ImageChain:
    """The chain; raises BadInput for images that its network does not take, before a run begins."""
    chain = image_chain(config)
    shape = data.train.images.shape[1:]
    if shape[0] % 2 or shape[1] % 2:
        raise BadInput(f"the energy takes images with even sides, got {shape}")
    try:
        jax.eval_shape(chain.net.init, jax.random.key(0), folded(jnp.zeros((1, *shape))), jnp.zeros(1))
    except ValueError as error:
        raise BadInput(f"{error}, after squares of 2×2 pixels have become channels") from error
    return chain


def train(run: Run[Config], chain: ImageChain, data: Images) -> ImageModels:
    """Train the energies in both ways, one after the other."""
    config, x = run.config, jnp.zeros((1, *data.train.images.shape[1:]))
    held_out = jnp.asarray(data.held_out.images[:FOLLOWED])

    def score_loss(params: Any, **_: Any) -> jax.Array:
        return chain.score_loss(jax.random.key(1), params, (held_out,)).mean()

    start = train_network(
        run, "images/start", initial_parameters(chain.net, config.seed, folded(x), jnp.zeros(1)), chain.score_loss,
        (data.train.images,), held_out_loss=score_loss, seed=config.seed, steps=config.start_steps,
    )  # fmt: skip
    slow = replace(run, config=replace(config, learning_rate=config.recovery_learning_rate))
    try:
        recovered = train_network(
            slow, "images/recovery", start.averaged, chain.recovery_loss(), (np.asarray(data.train.images),),
            held_out_loss=score_loss, seed=config.seed + 1, batch_size=config.recovery_batch_size,
        )  # fmt: skip
    except Diverged as error:
        remedy = "Try a lower --recovery-learning-rate, a smaller --step-size, or more --start-steps"
        raise Diverged(f"recovery likelihood of images: {error}. {remedy}", error.history) from error
    histories = {"score matching": start.history, "recovery": recovered.history}
    return ImageModels(chain, start.averaged, recovered.averaged, parameter_count(start.averaged), histories)

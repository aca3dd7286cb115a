"""The two networks, the seconds of their training steps, and the three trainings."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.kit import images
from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.score_model import Model, denoising_objective, root_mean_square, train
from experiments.kit.timing import seconds
from experiments.kit.training import batches_of, initial_parameters, layout_of, parameter_count
from experiments.transformer.config import Config
from jaxgen.data import to_uint8
from jaxgen.diffusion import vp
from jaxgen.training import create_state, make_train_step, place

UNET, DIT, EQUAL_TIME = "U-Net", "DiT", "DiT, equal time"
ROUNDS, FOLLOWED = 5, 256  # rounds of the timing, and held-out images whose loss is followed


class Trained(NamedTuple):
    """A trained network.

    Attributes:
        model: the network with its averaged parameters, as a model of the VP process.
        parameters: their number.
        steps: training steps.
        seconds_per_step: seconds of a training step, measured beside those of the other network.
    """

    model: Model
    parameters: int
    steps: int
    seconds_per_step: float

    @property
    def seconds(self) -> float:
        """Seconds of all training steps."""
        return self.steps * self.seconds_per_step


def build(config: Config, data: Images) -> dict[str, nn.Module]:
    """The U-Net and the transformer; raises BadInput if one does not take images of this shape."""
    num_classes = data.train.num_classes or None
    networks = {
        UNET: config.unet(num_classes=num_classes),
        DIT: config.dit(num_classes=num_classes, rotary=config.dit_rotary),
    }
    return {name: images.fitting(net, data) for name, net in networks.items()}


def train_all(run: Run[Config], networks: dict[str, nn.Module], data: Images) -> dict[str, Trained]:
    """Train both networks for as many steps, and the transformer again for as many seconds as the U-Net takes."""
    config = run.config
    step_seconds = run.stage("seconds-per-step", lambda: seconds_per_step(config, networks, data))
    equal_time = max(1, round(config.steps * step_seconds[UNET] / step_seconds[DIT]))
    trainings = {UNET: (UNET, config.steps), DIT: (DIT, config.steps), EQUAL_TIME: (DIT, equal_time)}
    return {
        name: train_one(run, name, networks[of], data, steps, step_seconds[of])
        for name, (of, steps) in trainings.items()
    }


def train_one(run: Run[Config], name: str, net: nn.Module, data: Images, steps: int, seconds_of_step: float) -> Trained:
    """Train a network by EDM's objective."""
    config = run.config
    if name != UNET:
        run = replace(run, config=replace(config, learning_rate=config.dit_learning_rate))
    conditions = None
    if data.train.labels is not None:
        conditions = data.train.labels, jnp.asarray(data.held_out.labels[:FOLLOWED])
    model = train(
        run, name.lower().replace(", ", "-").replace(" ", "-"), net, None, steps, config.seed,
        to_uint8(data.train.images), jnp.asarray(to_uint8(data.held_out.images[:FOLLOWED])),
        conditions=conditions, drop=config.drop_label,
    )  # fmt: skip
    return Trained(model._replace(process=vp()), parameter_count(model.params), steps, seconds_of_step)


def seconds_per_step(config: Config, networks: dict[str, nn.Module], data: Images) -> dict[str, float]:
    """The median seconds of a training step of each network, timed in turns."""
    work = {name: training_steps(config, net, data) for name, net in networks.items()}
    rounds = {name: [] for name in networks}
    for run in work.values():
        run()  # compiles
    for i in range(ROUNDS):
        for name in list(networks)[:: 1 if i % 2 else -1]:
            rounds[name].append(seconds(work[name]) / config.timed_steps)
    return {name: float(np.median(of)) for name, of in rounds.items()}


def training_steps(config: Config, net: nn.Module, data: Images) -> Callable[[], Any]:
    """A function that takes config.timed_steps training steps, with the layout of the training itself."""
    arrays = tuple(each for each in (to_uint8(data.train.images), data.train.labels) if each is not None)
    sigma_data, optimizer = root_mean_square(arrays[0]), optax.adam(config.learning_rate)
    loss = denoising_objective(net, None, sigma_data, len(arrays) > 1, config.drop_label)
    params = initial_parameters(net, config.seed, jnp.zeros((1, *arrays[0].shape[1:])), jnp.zeros(1))
    begin = partial(create_state, jax.random.key(config.seed), optimizer=optimizer)
    layout, sharding = layout_of(config, config.batch_size, begin, params)
    state = begin(params) if layout is None else place(begin(params), layout)
    step, batches = make_train_step(loss, optimizer, layout=layout), batches_of(arrays, config.batch_size, 0, sharding)

    def run() -> None:
        nonlocal state
        for i in range(config.timed_steps):
            state, _ = step(state, batches(i))
        jax.block_until_ready(state.params)

    return run

"""One compiled training step for all seeds of a family, and trainings up to any step."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from experiments.kit.run import Run
from experiments.kit.training import batches_of, intervals, layout_of, learning_rate, train_with_checkpoints
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data, as_floats
from experiments.trilemma.family import Family, Game, Network
from jaxgen.training import (
    create_adversarial_state,
    create_state,
    gather,
    make_adversarial_step,
    make_train_step,
    place,
    warmup_ema,
)

WARM_UP = 50  # steps in which learning rates rise; then they are constant, so that a training has no fixed length
CLIP = 1.0  # largest norm of a gradient; critics' have none


class Trainer:
    """Trains a family's networks.

    Learning rates are constant, and the averaged parameters are used. So the parameters in the middle of a training are
    those of a shorter one.

    Args:
        config: the flags.
        family: the family.
        data: the images.

    Attributes:
        step: the compiled training step.
    """

    step: Callable

    def __init__(self, config: Config, family: Family, data: Data):
        self._config, self._training = config, family.training
        self._integers, size = data.integers, config.batch_size
        self._players = isinstance(self._training, Game)
        make = self._game if self._players else self._network
        self._create, self.step, self._layout, self._sharding = make(size, partial(as_floats, levels=data.levels))

    def begin(self, seed: int) -> Any:
        """The state at step 0."""
        params = self._training.initial(seed)
        params = params if self._players else (params,)
        if self._layout is not None:
            where = (self._layout.generator, self._layout.critic) if self._players else (self._layout,)
            params = tuple(place(each, of.params) for each, of in zip(params, where, strict=True))
        return self._create(jax.random.key(seed + 1), *params)

    def batches(self, seed: int) -> Callable[[int], Any]:
        """The batch of each step."""
        return batches_of((self._integers,), self._config.batch_size, seed, self._sharding)

    def train(self, run: Run[Config], name: str, seed: int, steps: int, total: int) -> Any:
        """The averaged parameters after so many of the total steps, from the last checkpoint in the folder `name`."""
        state, _ = train_with_checkpoints(
            run, name, self.step, self.begin(seed), self.batches(seed), steps=steps, **intervals(self._config, total)
        )
        averaged = state.generator.ema if self._players else state.ema
        return jax.tree.map(np.asarray, averaged if self._layout is None else gather(averaged))

    def _network(self, size: int, _: Callable) -> tuple[Callable, ...]:
        training: Network = self._training
        optimizer = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(_rate(training.learning_rate)))

        def loss(key: jax.Array, params: Any, batch: tuple[jax.Array], **carry: Any) -> Any:
            return training.loss(key, params, batch[0], **carry)

        create = partial(create_state, optimizer=optimizer, carry=training.carry)
        layout, sharding = self._lie(create, size)
        step = make_train_step(loss, optimizer, ema=warmup_ema(self._config.ema), layout=layout)
        return jax.jit(create, out_shardings=layout), step, layout, sharding

    def _game(self, size: int, images: Callable[[jax.Array], jax.Array]) -> tuple[Callable, ...]:
        training: Game = self._training
        # b₂ .9: a critic's gradients have no lasting scale
        optimizers = [optax.adam(_rate(rate), b1=0.5, b2=0.9) for rate in training.rates]

        def of_integers(loss: Callable) -> Callable:
            return lambda key, own, other, batch, **carry: loss(key, own, other, images(batch[0]), **carry)

        def create(key: jax.Array, generator: Any, critic: Any) -> Any:
            return create_adversarial_state(key, generator, critic, *optimizers, training.objectives.carry)

        layout, sharding = self._lie(create, size)
        losses = of_integers(training.objectives.generator), of_integers(training.objectives.critic)
        step = make_adversarial_step(*losses, *optimizers, ema=warmup_ema(self._config.ema), layout=layout)
        return jax.jit(create, out_shardings=layout), step, layout, sharding

    def _lie(self, create: Callable, size: int) -> tuple[Any, Any]:
        """How states and batches lie on the devices."""
        params = self._training.initial(self._config.seed)
        return layout_of(self._config, size, create, jax.random.key(0), *(params if self._players else (params,)))


def _rate(peak: float) -> optax.Schedule:
    return learning_rate(peak, 10 * WARM_UP, "constant")

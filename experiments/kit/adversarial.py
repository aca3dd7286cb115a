"""Two players trained against each other, with averaged parameters, checkpoints and logs."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from experiments.kit.config import TrainingConfig
from experiments.kit.export import save_parameters
from experiments.kit.run import Run
from experiments.kit.training import (
    batches_of,
    compiled_once,
    intervals,
    layout_of,
    learning_rate,
    train_with_checkpoints,
)
from jaxgen.gan import AdversarialObjectives
from jaxgen.training import (
    AdversarialState,
    History,
    create_adversarial_state,
    gather,
    make_adversarial_step,
    place,
    warmup_ema,
)


class TrainedGame(NamedTuple):
    """The generator's averaged parameters, the critic's last ones, and the history of both losses."""

    generator: Any
    critic: Any
    history: History


class Rates(NamedTuple):
    """The largest learning rates of both players; they fall to 0 along a cosine."""

    generator: float
    critic: float


def game_optimizers(rates: Rates, steps: int, b1: float = 0.5) -> tuple[optax.GradientTransformation, ...]:
    """Adam with a warm-up for each player, of b₂ .9: a critic's gradients have no lasting scale."""
    return tuple(optax.adam(learning_rate(rate, steps), b1=b1, b2=0.9) for rate in rates)


def first_array(batch: tuple[Any, ...]) -> Any:
    """What the losses take of a batch of one array."""
    return batch[0]


def train_game(
    run: Run,
    name: str,
    objectives: AdversarialObjectives,
    params: tuple[Any, Any],
    data: tuple[Any, ...],
    *,
    seed: int,
    steps: int,
    optimizers: tuple[optax.GradientTransformation, ...],
    batch_size: int | None = None,
    batch: Callable[[Any], Any] = first_array,
    evaluate: Callable[[AdversarialState], Mapping[str, Any]] | None = None,
) -> TrainedGame:
    """Train a generator and its critic, or go on from their last checkpoint.

    The folder `name` of the run holds checkpoints, the log, and at the end params.safetensors, the generator's averaged
    parameters.

    Args:
        run: the run, whose config has the flags of training.
        name: folder of the game within the run's.
        objectives: the losses of both players.
        params: first parameters of the generator and of the critic.
        data: arrays of equal length, from which batches are drawn.
        seed: seed of batches and of the losses.
        steps: training steps.
        optimizers: those of the generator and of the critic.
        batch_size: by default config.batch_size.
        batch: what the losses take, made of a tuple of rows of `data`.
        evaluate: state -> scalars by name, which are followed.
    """
    config: TrainingConfig = run.config
    batch_size = config.batch_size if batch_size is None else batch_size

    def begin(generator: Any, critic: Any) -> Any:
        return create_adversarial_state(jax.random.key(seed + 1), generator, critic, *optimizers, objectives.carry)

    layout, sharding = layout_of(config, batch_size, begin, *params)
    if layout is not None:
        params = place(params, (layout.generator.params, layout.critic.params))
    state, history = train_with_checkpoints(
        run,
        name,
        _game_step((objectives.generator, objectives.critic), optimizers, config.ema, batch, layout=layout),
        jax.jit(begin, out_shardings=layout)(*params),
        batches_of(data, batch_size, seed, sharding),
        steps=steps,
        evaluate=evaluate,
        **intervals(config, steps),
    )
    kept = state.generator.ema, state.critic.params
    averaged, critic = kept if layout is None else gather(kept)
    save_parameters(run.directory / name / "params.safetensors", averaged)
    return TrainedGame(averaged, critic, history)


# Games of the same losses and optimisers, such as those of several seeds, share what is compiled.
@compiled_once
def _game_step(losses: tuple, optimizers: tuple, ema: float, batch: Callable[[Any], Any], *, layout: Any) -> Callable:
    def of_rows(loss: Callable[..., Any]) -> Callable[..., Any]:
        return lambda key, own, other, rows, **carry: loss(key, own, other, batch(rows), **carry)

    return make_adversarial_step(*map(of_rows, losses), *optimizers, ema=warmup_ema(ema), layout=layout)

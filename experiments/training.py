"""Adam with warm-up and decay, averaged parameters, checkpoints and logs: how every image experiment trains."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import optax

from experiments.config import TrainingConfig
from jaxgen.data import Batches, StreamedBatches
from jaxgen.training import (
    Checkpoints,
    History,
    LossFn,
    batch_sharding,
    create_state,
    data_mesh,
    fit,
    fully_sharded,
    gather,
    make_train_step,
    place,
    replicated,
    warmup_ema,
)


class Trained(NamedTuple):
    """The last and the averaged parameters, the history of the losses, and the loss function's last carry."""

    params: Any
    averaged: Any
    history: History
    carry: Any = None


def initial_parameters(net: nn.Module, seed: int, *inputs: jax.typing.ArrayLike) -> Any:
    """The parameters that a seed begins with."""
    # an "rbg" key compiles the initialisation in a third of the time
    return _init(net, jax.random.key(seed, impl="rbg"), *inputs)


@partial(jax.jit, static_argnums=0)
def _init(net: nn.Module, key: jax.Array, *inputs: jax.Array) -> Any:
    return net.init(key, *inputs)


def train_network(
    config: TrainingConfig,
    params: Any,
    loss: LossFn,
    data: tuple[Any, ...],
    directory: Path,
    *,
    held_out_loss: Callable[..., jax.Array],
    seed: int,
    schedule: Literal["constant", "cosine", "linear"] = "cosine",
    carry: Any = None,
    clip: float = 1.0,
    clip_apart: bool = False,
) -> Trained:
    """Train by `loss`; checkpoints and the log lie in `directory`.

    loss and carry: as `make_train_step` takes them. held_out_loss(params, **carry) -> () is followed
    on the averaged parameters.
    clip: the longest gradient that is taken whole, 0 for any. clip_apart: bound that of each part of a dict of params
    by itself, for parts whose losses differ in unit.
    With config.resume the directory's last checkpoint is continued, if it has one.
    """
    decay = {
        "constant": lambda lr, n: optax.constant_schedule(lr),
        "cosine": optax.cosine_decay_schedule,
        "linear": lambda lr, n: optax.linear_schedule(lr, 0.0, n),
    }
    rate = optax.join_schedules(
        [optax.linear_schedule(0.0, config.learning_rate, 100), decay[schedule](config.learning_rate, config.steps)],
        [100],
    )
    bound = optax.clip_by_global_norm(clip) if clip else optax.identity()
    if clip_apart:
        bound = optax.partition(dict.fromkeys(params, bound), {name: name for name in params})
    optimizer = optax.chain(bound, optax.adam(rate))
    evaluate = jax.jit(held_out_loss)
    begin = partial(create_state, jax.random.key(seed + 1), optimizer=optimizer, carry=carry)
    layout = sharding = None
    if config.data_parallel or config.fully_sharded:
        mesh = data_mesh()
        sharding = batch_sharding(mesh)
        shapes = jax.eval_shape(begin, params)
        layout = fully_sharded(shapes, mesh) if config.fully_sharded else jax.tree.broadcast(replicated(mesh), shapes)
        # made where it lies: beyond the parameters, no device holds more than its part
        begin, params = jax.jit(begin, out_shardings=layout), place(params, layout.params)
    state = begin(params)

    def whole_calls(steps: int) -> int:
        return -(-max(1, steps) // config.steps_per_call) * config.steps_per_call

    # among several processes each reads its own part of the batches
    several = jax.process_count() > 1
    with Checkpoints(directory / "checkpoints") as checkpoints:
        if config.resume is not None and checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
        result = fit(
            make_train_step(loss, optimizer, ema=warmup_ema(config.ema), layout=layout),
            state,
            (StreamedBatches if several else Batches)(data, config.batch_size, seed, sharding),
            steps=config.steps,
            steps_per_call=config.steps_per_call,
            checkpoints=checkpoints,
            checkpoint_every=config.checkpoint_every,
            log=directory / "metrics.jsonl",
            log_every=whole_calls(config.steps // 200),
            evaluate=lambda state: {"loss": evaluate(state.ema, **state.carry)},
            evaluate_every=whole_calls(config.steps // 25),
            progress=config.progress,
        )
    state = result.state
    kept = state.params, state.ema, state.carry
    params, averaged, carry = kept if layout is None else gather(kept)
    return Trained(params, averaged, result.history, carry)

"""Adam with warm-up and decay, averaged parameters, checkpoints and logs: how every image experiment trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import jax
import optax

from jaxgen.data import Batches
from jaxgen.training import Checkpoints, History, LossFn, create_state, fit, make_train_step, warmup_ema


class TrainingConfig(Protocol):
    """The flags that govern training."""

    steps: int
    batch_size: int
    learning_rate: float
    ema: float
    checkpoint_every: int
    progress: bool
    resume: Path | None


class Trained(NamedTuple):
    """The last and the averaged parameters, and the history of the losses."""

    params: Any
    averaged: Any
    history: History


def train_network(
    config: TrainingConfig,
    params: Any,
    loss: LossFn,
    data: tuple[Any, ...],
    directory: Path,
    *,
    held_out_loss: Callable[[Any], jax.Array],
    seed: int,
    schedule: Literal["constant", "cosine", "linear"] = "cosine",
    carry: Any = None,
    clip_apart: bool = False,
) -> Trained:
    """Train by `loss`; checkpoints and the log lie in `directory`.

    loss and carry: as `make_train_step` takes them. held_out_loss(params) -> () is followed on the averaged parameters.
    clip_apart: bound the gradient of each part of a dict of params by itself, for parts whose losses differ in unit.
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
    clip = optax.clip_by_global_norm(1.0)
    if clip_apart:
        clip = optax.partition(dict.fromkeys(params, clip), {name: name for name in params})
    optimizer = optax.chain(clip, optax.adam(rate))
    evaluate = jax.jit(held_out_loss)
    state = create_state(jax.random.key(seed + 1), params, optimizer, carry)
    with Checkpoints(directory / "checkpoints") as checkpoints:
        if config.resume is not None and checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
        result = fit(
            make_train_step(loss, optimizer, ema=warmup_ema(config.ema)),
            state,
            Batches(data, config.batch_size, seed),
            steps=config.steps,
            checkpoints=checkpoints,
            checkpoint_every=config.checkpoint_every,
            log=directory / "metrics.jsonl",
            log_every=max(1, config.steps // 200),
            evaluate=lambda state: {"loss": evaluate(state.ema)},
            evaluate_every=max(1, config.steps // 25),
            progress=config.progress,
        )
    return Trained(result.state.params, result.state.ema, result.history)

"""Adam with warm-up and decay, averaged parameters, checkpoints and logs: how every image experiment trains."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import optax
from jax.sharding import NamedSharding

from experiments.kit.config import TrainingConfig
from experiments.kit.devices import cores_mesh
from experiments.kit.export import save_parameters
from experiments.kit.run import BadInput, Run
from experiments.kit.tracking import tracker
from jaxgen.data import Batches, StreamedBatches
from jaxgen.training import (
    Checkpoints,
    History,
    LossFn,
    TrainState,
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


@partial(jax.jit, static_argnums=0)
def apply_network(net: nn.Module, params: Any, x: jax.Array, t: jax.Array, cond: Any) -> jax.Array:
    """The output of a network of (x, t, cond), traced once for all losses, samplers and solvers that call it."""
    return net.apply(params, x, t, cond)


def parameter_count(params: Any) -> int:
    """The number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def learning_rate(peak: float, steps: int, decay: Literal["constant", "cosine", "linear"] = "cosine") -> optax.Schedule:
    """A linear warm-up of 100 steps, or a tenth of few, and a decay to 0 at the last step."""
    warmup = min(100, max(1, steps // 10))
    if decay == "cosine":
        return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, max(steps, warmup + 1))
    end = peak if decay == "constant" else 0.0
    falling = optax.linear_schedule(peak, end, max(1, steps - warmup))
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), falling], [warmup])


# Networks of one loss function and schedule, such as those of several seeds, share one optimiser and what is compiled.
@lru_cache(maxsize=1)
def _optimizer(
    peak: float, steps: int, decay: str, clip: float, clipped_separately: tuple[str, ...]
) -> optax.GradientTransformation:
    bound = optax.clip_by_global_norm(clip) if clip else optax.identity()
    if clipped_separately:
        names = {name: name for name in clipped_separately}
        bound = optax.partition(dict.fromkeys(names, bound), names)
    return optax.chain(bound, optax.adam(learning_rate(peak, steps, decay)))


def compiled_once(make: Callable[..., Callable]) -> Callable[..., Callable]:
    """Keep the last step that `make(*arguments, layout=...)` made, so that equal arguments share what is compiled.

    All arguments but the layout are hashable.
    """

    @lru_cache(maxsize=1)
    def kept(arguments: tuple, shardings: tuple, structure: Any) -> Callable:
        return make(*arguments, layout=jax.tree.unflatten(structure, shardings))

    def step(*arguments: Any, layout: Any) -> Callable:
        shardings, structure = jax.tree.flatten(layout)
        return kept(arguments, tuple(shardings), structure)

    step.cache_clear = kept.cache_clear
    return step


@compiled_once
def _train_step(loss: LossFn, optimizer: optax.GradientTransformation, ema: float, *, layout: Any) -> Callable:
    return make_train_step(loss, optimizer, ema=warmup_ema(ema), layout=layout)


def train_network(
    run: Run,
    name: str,
    params: Any,
    loss: LossFn,
    data: tuple[Any, ...],
    *,
    held_out_loss: Callable[..., jax.Array],
    seed: int,
    steps: int | None = None,
    batch_size: int | None = None,
    decay: Literal["constant", "cosine", "linear"] = "cosine",
    carry: Any = None,
    clip: float = 1.0,
    clip_separately: bool = False,
) -> Trained:
    """Train a network by `loss`, or go on from its last checkpoint.

    The folder `name` of the run holds checkpoints, the log, and at the end params.safetensors, the averaged parameters.

    Args:
        run: the run, whose config has the flags of training.
        name: folder of the network within the run's; "" for the run's own.
        params: first parameters.
        loss: as `make_train_step` takes it.
        data: arrays of equal length, from which batches are drawn.
        held_out_loss: held_out_loss(params, **carry) -> (), followed on the averaged parameters.
        seed: seed of batches and of the loss.
        steps: training steps; by default config.steps.
        batch_size: by default config.batch_size.
        decay: how the learning rate falls after the warm-up.
        carry: the loss function's first carry.
        clip: the largest norm of a gradient, 0 for any.
        clip_separately: clip each entry of a dict of params by itself, for parts whose losses differ in unit.
    """
    config: TrainingConfig = run.config
    steps = config.steps if steps is None else steps
    batch_size = config.batch_size if batch_size is None else batch_size
    optimizer = _optimizer(config.learning_rate, steps, decay, clip, tuple(params) if clip_separately else ())
    evaluate = jax.jit(held_out_loss)
    begin = partial(create_state, jax.random.key(seed + 1), optimizer=optimizer, carry=carry)
    layout, sharding = layout_of(config, batch_size, begin, params)
    if layout is not None:  # made where it lies: beyond the parameters, no device holds more than its part
        params = place(params, layout.params)
    begin = jax.jit(begin, out_shardings=layout)

    state, history = train_with_checkpoints(
        run,
        name,
        _train_step(loss, optimizer, config.ema, layout=layout),
        begin(params),
        batches_of(data, batch_size, seed, sharding),
        steps=steps,
        evaluate=lambda state: {"loss": evaluate(state.ema, **state.carry)},
        **intervals(config, steps),
    )
    kept = state.params, state.ema, state.carry
    params, averaged, carry = kept if layout is None else gather(kept)
    save_parameters(run.directory / name / "params.safetensors", averaged)
    return Trained(params, averaged, history, carry)


def layout_of(
    config: TrainingConfig, batch_size: int, begin: Callable[..., Any], *params: Any
) -> tuple[Any, NamedSharding | None]:
    """How the state `begin(*params)` and its batches lie on the devices; None and None on one."""
    mesh = data_mesh() if config.data_parallel or config.fully_sharded else cores_mesh(config, batch_size)
    if mesh is None:
        return None, None
    shapes = jax.eval_shape(begin, *params)
    layout = fully_sharded(shapes, mesh) if config.fully_sharded else jax.tree.broadcast(replicated(mesh), shapes)
    return layout, batch_sharding(mesh)


def batches_of(data: tuple[Any, ...], batch_size: int, seed: int, sharding: Any) -> Callable[[int], Any]:
    """The batch of each step. Of several processes, each reads its own part, which no compiled loop can do."""
    kind = StreamedBatches if jax.process_count() > 1 else Batches
    return kind(data, batch_size, seed, sharding)


def intervals(config: TrainingConfig, steps: int) -> dict[str, int]:
    """Steps of one compiled call, and from one log and one evaluation to the next: whole calls, 25 of them or more."""
    per_call = 1 if jax.process_count() > 1 else min(config.steps_per_call, max(1, steps // 25))

    def whole_calls(count: int) -> int:
        return max(per_call, count // per_call * per_call)

    return {
        "steps_per_call": per_call, "log_every": whole_calls(steps // 200), "evaluate_every": whole_calls(steps // 25),
    }  # fmt: skip


def train_with_checkpoints(
    run: Run, name: str, step: Callable, state: TrainState, batches: Callable, *, steps: int, **options: Any
) -> tuple[TrainState, History]:
    """`fit` in the folder `name` of the run, from its last checkpoint if there is one.

    Args:
        run: the run.
        name: the folder, "" for the run's own.
        step: the train step.
        state: the first state.
        batches: the batch of each step.
        steps: the step to train up to.
        options: further options of `fit`.

    Raises:
        BadInput: if the checkpoint is of a later step.
    """
    directory = run.directory / name
    with Checkpoints(directory / "checkpoints") as checkpoints:
        if checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
        if int(state.step) > steps:
            raise BadInput(f"{directory} was trained for {int(state.step)} steps already: give --steps at least that")
        if int(state.step) == steps:
            return state, History.read(directory / "metrics.jsonl")
        with tracker(run, name) as on_log:
            return fit(
                step,
                state,
                batches,
                steps=steps,
                checkpoints=checkpoints,
                checkpoint_every=getattr(run.config, "checkpoint_every", 1000),
                log=directory / "metrics.jsonl",
                on_log=on_log,
                progress=run.config.progress,
                **options,
            )

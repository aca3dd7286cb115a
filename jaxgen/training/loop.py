"""The training loop: any step, any state, and nothing lost when it ends before its time."""

import logging
import math
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxgen.core import progress_bar
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.finite import not_finite
from jaxgen.training.interrupt import agreed, stop_on_signals
from jaxgen.training.log import History, MetricsLog, Row, fetch_row
from jaxgen.training.window import Step, WindowedBatches, check_metrics, window_of_steps

_logger = logging.getLogger(__name__)

# Steps the host may run ahead: enough to keep the device busy, few enough to stop soon and to hold few batches.
_IN_FLIGHT = 8

# Steps after which several processes ask each other whether to stop.
_TOGETHER = 50

# Calls whose metrics are kept, to name the step at which they ceased to be finite.
_REMEMBERED = 1000


class FitResult(NamedTuple):
    """The state after the last step, and what was logged, earlier parts of a resumed run included."""

    state: PyTree
    history: History


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop, and did so after a whole step; `result` is how far it came."""

    def __init__(self, message: str, result: FitResult):
        super().__init__(message)
        self.result = result


class Diverged(FloatingPointError):
    """A metric, or the state, is no longer finite; `history` is what was logged, that row included."""

    def __init__(self, message: str, history: History):
        super().__init__(message)
        self.history = history


def fit(
    step: Step,
    state: PyTree,
    batches: Callable[[int], PyTree],
    *,
    steps: int,
    steps_per_call: int = 1,
    checkpoints: Checkpoints | None = None,
    checkpoint_every: int = 1000,
    log: str | os.PathLike[str] | None = None,
    log_every: int = 50,
    evaluate: Callable[[PyTree], Mapping[str, Any]] | None = None,
    evaluate_every: int = 1000,
    on_log: Callable[[int, Row], None] | None = None,
    finite: Collection[str] | None = None,
    progress: bool = True,
) -> FitResult:
    """Train from step `state.step` up to step `steps`, and return the last state and the history of the metrics.

    `step(state, batch) -> (state, metrics)` may be any function that adds one to `state.step`, the metrics a dict of
    scalars; if it donates its state, as `make_train_step` does, the one given here is gone afterwards. `batches(n)` is
    the batch of step n = 0, 1, …, so a resumed run needs no replay: restore the state, call `fit` again. With
    `steps_per_call` up to so many steps are taken in one call of a compiled function, which for small models saves the
    time between them; `batches` are then `jaxgen.data.Batches`, and `step` one that can be compiled. (On a CPU leave
    it at 1 for convolutions, whose gradients XLA computes many times slower within a loop.)

    Metrics are fetched every `log_every` steps, one log point late so that the device never waits, written to `log` as
    JSON lines and passed to `on_log(step, row)`; those of `evaluate(state)` join them every `evaluate_every` steps as
    eval/…. Whatever the intervals, the last step is logged, evaluated and saved. A `log` that is continued is cut back
    to `state.step` first.

    Several processes run the same program (`jax.distributed`): the first alone writes `log` and shows progress, and a
    signal to one of them stops all within 50 steps, for which they wait for each other that often. An error in one does
    not end the others, which wait for it: a program of several processes must then end its own at once (`os._exit`).

    Raises Interrupted after SIGINT or SIGTERM, the current step finished and saved; Diverged when a metric of the step
    (or only those named in `finite`) is NaN or infinite at a log point or checkpoint, naming the step where that began,
    or the state is before it is saved; DirectoryInUse where another run saves to the same directory; ValueError for
    intervals below 1 and for a directory whose checkpoints are later than `state`; and TypeError for a state without a
    step, or batches that `steps_per_call` cannot draw from.
    """
    intervals = {"checkpoint_every": checkpoint_every, "log_every": log_every, "evaluate_every": evaluate_every}
    for name, value in {"steps_per_call": steps_per_call, **intervals}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1 step, got {value}")
    if not hasattr(state, "step"):
        raise TypeError(
            f"fit needs a state with a .step, a scalar that the step increments; got {type(state).__name__}"
        )
    call = _single_step(step, batches) if steps_per_call == 1 else _window(step, batches, steps_per_call)
    if checkpoints is not None:
        checkpoints.claim()
    first = int(state.step)
    latest = checkpoints.latest_step if checkpoints is not None else None
    if latest is not None and latest > first:
        raise ValueError(
            f"{checkpoints.directory} holds a checkpoint of step {latest}, later than this state's step {first}: "
            "resume from it (--resume), or train in another directory"
        )
    alone, leads = jax.process_count() == 1, jax.process_index() == 0
    metrics_log = MetricsLog(log, first, writes=leads)
    history = metrics_log.history
    if steps <= first:
        metrics_log.close()
        _logger.warning("nothing to train: the state is at step %d already, and steps=%d", first, steps)
        return FitResult(state, history)
    borders = [log_every, *([evaluate_every] if evaluate else []), *([checkpoint_every] if checkpoints else [])]

    def check(row: Row) -> None:
        bad = [name for name in sorted(watched & row.keys()) if not math.isfinite(row[name])]
        if bad:
            name, at, value = _began(recent, bad, row["step"]) or (bad[0], row["step"], row[bad[0]])
            raise Diverged(f"{name} is {value} at step {at}. {_last_good(checkpoints)}", history)

    def publish(row: Row | None) -> None:
        nonlocal status
        if row is not None:
            status = f"loss {row['loss']:.4g}" if "loss" in row else ""
            if on_log is not None:
                on_log(row["step"], row)
            check(row)

    status, done = "", first
    in_flight: deque[Mapping[str, Any]] = deque()
    recent: deque[tuple[int, int, Mapping[str, Any]]] = deque(maxlen=_REMEMBERED)
    with (
        closing(metrics_log),
        progress_bar(first, steps, visible=progress and leads) as show,
        stop_on_signals() as stop,
    ):
        while done < steps:
            n = min(steps_per_call, steps - done, *(every - done % every for every in borders))
            state, metrics, rows = call(state, done, n)
            recent.append((done + 1, n, rows))
            if done == first:
                _check_first_step(first, n, state, metrics, finite)
                watched = metrics.keys() if finite is None else set(finite)
            done += n
            in_flight.append(metrics)
            if len(in_flight) > max(1, _IN_FLIGHT // steps_per_call):
                jax.block_until_ready(_kept(in_flight.popleft()))

            last = done == steps
            row = dict(metrics) if last or done % log_every == 0 else {}
            if evaluate is not None and (last or done % evaluate_every == 0):
                row |= {f"eval/{name}": value for name, value in evaluate(state).items()}
            if row:
                publish(metrics_log.push(done, row))

            together = row or done // _TOGETHER > (done - n) // _TOGETHER
            asked = stop.received if alone else agreed(stop) if together else None
            ends = last or asked is not None
            if ends or (checkpoints is not None and done % checkpoint_every == 0):
                # A save waits for the device anyway: first the log, so that it is never behind a checkpoint.
                publish(metrics_log.flush())
                check(fetch_row(done, metrics))
                if (bad := not_finite(state)) is not None:
                    # the metrics are those before the update
                    raise Diverged(f"{bad} is no longer finite after step {done}. {_last_good(checkpoints)}", history)
                if checkpoints is not None:
                    checkpoints.save(state)
            elif len(recent) == _REMEMBERED:
                check(fetch_row(done, metrics))
                recent.clear()
            show(done, status)
            if ends:
                break
        if checkpoints is not None:
            checkpoints.wait()
        if asked is None:  # a signal that came while the last step was saved
            asked = stop.received if alone else agreed(stop)
        result = FitResult(state, history)
        if asked is not None:
            where = f"saved in {checkpoints.directory}; --resume continues" if checkpoints is not None else "not saved"
            raise Interrupted(f"{asked.name} at step {done} of {steps}, {where}", result)
    return result


def _single_step(step: Step, batches: Callable[[int], PyTree]) -> Callable:
    def call(state: PyTree, done: int, n: int) -> tuple[PyTree, Any, Any]:
        state, metrics = step(state, batches(done))
        return state, metrics, metrics

    return call


def _window(step: Step, batches: Callable[[int], PyTree], length: int) -> Callable:
    if not isinstance(batches, WindowedBatches):
        raise TypeError(
            f"steps_per_call={length} draws its batches on the device: pass jaxgen.data.Batches, or steps_per_call=1 "
            f"for batches of type {type(batches).__name__}"
        )

    def call(state: PyTree, done: int, n: int) -> tuple[PyTree, Any, Any]:
        return window_of_steps(step, batches.select, state, batches.data, batches.window(done, n, length), n)

    return call


def _check_first_step(first: int, n: int, state: PyTree, metrics: Any, finite: Collection[str] | None) -> None:
    if int(state.step) != first + n:
        raise ValueError(
            f"step(state, batch) must add 1 to state.step; in {n} steps it went from {first} to {int(state.step)}"
        )
    check_metrics(metrics)
    if unknown := set(finite or ()) - metrics.keys():
        raise ValueError(f"finite={sorted(unknown)}: the step has no such metric, only {sorted(metrics)}")


def _began(
    recent: Iterable[tuple[int, int, Mapping[str, Any]]], names: Sequence[str], until: int
) -> tuple[str, int, float] | None:
    """The first of the remembered steps up to `until` whose metrics are not finite: the metric, the step, the value."""
    for start, n, rows in recent:
        values = {name: np.atleast_1d(value)[:n] for name, value in jax.device_get(_kept(rows)).items()}
        for i in range(min(n, until + 1 - start)):
            for name in names:
                if name in values and not math.isfinite(values[name][i]):
                    return name, start + i, float(values[name][i])
    return None


def _kept(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that were parts of the state, and went with it when the next step donated it."""
    return {name: value for name, value in metrics.items() if not getattr(value, "is_deleted", bool)()}


def _last_good(checkpoints: Checkpoints | None) -> str:
    if checkpoints is not None:
        checkpoints.wait()
        if (step := checkpoints.latest_step) is not None:
            good = f"The last good checkpoint is of step {step}, in {checkpoints.directory}"
            return f"{good}: resume from it with a smaller learning rate"
    return "Nothing good was saved: start again with a smaller learning rate, a warm-up or gradient clipping"

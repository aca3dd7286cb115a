"""The training loop, for any step and any state."""

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

from jaxgen.core import check_at_least, progress_bar
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.finite import first_nonfinite
from jaxgen.training.interrupt import agreed_signal, stop_on_signals
from jaxgen.training.log import History, MetricsLog, Row, fetch_row
from jaxgen.training.scan import Step, WindowedBatches, check_metrics, scanned_steps
from jaxgen.training.state import check_not_donated

_logger = logging.getLogger(__name__)

# Steps by which the host may be ahead of the device: enough to keep it busy, few enough to stop soon.
_IN_FLIGHT = 8

# Steps after which several processes agree on whether to stop.
_AGREE_EVERY = 50

# Calls whose metrics are kept, to name the first step at which one was not finite.
_RECENT_CALLS = 1000


class FitResult(NamedTuple):
    """The last state and the logged metrics, including those from before a resumption."""

    state: PyTree
    history: History


class Interrupted(KeyboardInterrupt):
    """A signal stopped the run after a whole step; `result` is what `fit` would have returned."""

    def __init__(self, message: str, result: FitResult):
        super().__init__(message)
        self.result = result


class Diverged(FloatingPointError):
    """A metric or the state is not finite; `history` holds the logged metrics."""

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
    """Train from step `state.step` up to step `steps`.

    The last step is logged, evaluated and saved whatever the intervals. To resume a run, restore its state and call
    `fit` again with the same arguments: the result is bit for bit that of the run that was never stopped.

    Several processes run the same program (`jax.distributed`). The first writes `log` and shows progress. A signal to
    one of them stops all within 50 steps. An error in one does not end the others, which wait for it: a program of
    several processes must then end its own process at once (`os._exit`).

    Args:
        step: any `step(state, batch) -> (state, metrics)` that adds 1 to `state.step` and returns a dict of scalars. If
            it donates its state, as `make_train_step` does, the state given here cannot be used afterwards.
        state: any pytree with an attribute `step`.
        batches: `batches(n)` is the batch of step n = 0, 1, …, such as `jaxgen.data.Batches`.
        steps: the step to train up to.
        steps_per_call: the largest number of steps in one call of a compiled function, which saves time. Above 1,
            `batches` must be `jaxgen.data.Batches`, and `step` one that can be compiled. On a CPU, leave it at 1 for
            Flax's own convolutions, whose gradients are many times slower within a loop; `nets.Conv` is not.
        checkpoints: where the state is saved.
        checkpoint_every: steps between two checkpoints.
        log: a file to which the metrics are written as JSON lines. If it exists, rows after `state.step` are dropped.
        log_every: steps between two rows. A row is fetched one row late, so that the device never waits.
        evaluate: `evaluate(state)` returns a dict of scalars, which join the metrics as eval/….
        evaluate_every: steps between two evaluations.
        on_log: called as `on_log(step, row)`.
        finite: the metrics that must be finite (default: all of the step's).
        progress: whether to show a progress bar.

    Returns:
        The last state and the history of the metrics.

    Raises:
        Interrupted: if SIGINT or SIGTERM arrives. The steps under way, of two calls at most, are finished first, and
            saved if there are `checkpoints`.
        Diverged: if a metric is NaN or infinite at a log point or checkpoint, or the state is when it is to be saved.
            The message names the step at which that began.
        DirectoryInUse: if another run saves to the same directory.
        OSError: if a checkpoint or the log cannot be written.
        ValueError: if an interval or `steps_per_call` is below 1, the directory holds a checkpoint later than `state`,
            the log holds other lines than rows, the step does not add 1 to `state.step` or returns a metric that is no
            scalar or is called step, `finite` names a metric that it does not return, or the state was donated to an
            earlier step; and as `Checkpoints.claim` does.
        TypeError: if the state has no step, batches are no function or such that `steps_per_call` > 1 cannot select
            them, or the metrics are not a dict.
    """
    intervals = {"checkpoint_every": checkpoint_every, "log_every": log_every, "evaluate_every": evaluate_every}
    check_at_least(1, steps_per_call=steps_per_call, **intervals)
    if not hasattr(state, "step"):
        raise TypeError(f"fit needs a state with a .step, a scalar that step increments; got {type(state).__name__}")
    if not callable(batches):
        raise TypeError(
            "batches must be a function of the step's number, such as jaxgen.data.Batches(data, batch_size, seed) or "
            f"lambda n: batch; got {type(batches).__name__}"
        )
    check_not_donated(state)
    call = _in_calls(step, batches, steps_per_call)
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
            name, at, value = _first_bad_metric(recent, bad, row["step"]) or (bad[0], row["step"], row[bad[0]])
            raise Diverged(f"{name} is {value} at step {at}. {_how_to_restart(checkpoints)}", history)

    def publish(row: Row | None) -> None:
        nonlocal status
        if row is not None:
            losses = [name for name in row if name.split("/")[-1] == "loss" and not name.startswith("eval/")]
            status = ", ".join(f"{name} {row[name]:.4g}" for name in losses)
            if on_log is not None:
                on_log(row["step"], row)
            check(row)

    status, done = "", first
    in_flight: deque[Mapping[str, Any]] = deque()
    recent: deque[tuple[int, int, Mapping[str, Any]]] = deque(maxlen=_RECENT_CALLS)
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
                jax.block_until_ready(_not_deleted(in_flight.popleft()))

            last = done == steps
            row = dict(metrics) if last or done % log_every == 0 else {}
            if evaluate is not None and (last or done % evaluate_every == 0):
                row |= {f"eval/{name}": value for name, value in evaluate(state).items()}
            if row:
                publish(metrics_log.push(done, row))

            meets = row or done // _AGREE_EVERY > (done - n) // _AGREE_EVERY
            received = stop.received if alone else agreed_signal(stop) if meets else None
            ends = last or received is not None
            if ends or (checkpoints is not None and done % checkpoint_every == 0):
                # the log first, so that it is never behind a checkpoint
                publish(metrics_log.flush())
                check(fetch_row(done, metrics))
                # the metrics are from before the update
                if (bad := first_nonfinite(state)) is not None:
                    message = f"{bad} is no longer finite after step {done}. {_how_to_restart(checkpoints)}"
                    raise Diverged(message, history)
                if checkpoints is not None:
                    checkpoints.save(state)
            elif len(recent) == _RECENT_CALLS:
                check(fetch_row(done, metrics))
                recent.clear()
            show(done, status)
            if ends:
                break
        if checkpoints is not None:
            checkpoints.wait()
        if received is None:  # a signal may have come while the last step was saved
            received = stop.received if alone else agreed_signal(stop)
        result = FitResult(state, history)
        if received is not None:
            where = f"saved in {checkpoints.directory}; --resume continues" if checkpoints is not None else "not saved"
            raise Interrupted(f"{received.name} at step {done} of {steps}, {where}", result)
    return result


def _in_calls(step: Step, batches: Callable[[int], PyTree], length: int) -> Callable:
    def call(state: PyTree, done: int, n: int) -> tuple[PyTree, Any, Any]:
        if length > 1:
            return scanned_steps(step, batches.select, state, batches.data, batches.window(done, n, length), n)
        state, metrics = step(state, batches(done))
        return state, metrics, metrics

    if length > 1 and not isinstance(batches, WindowedBatches):
        raise TypeError(
            f"steps_per_call={length} draws its batches on the device: pass jaxgen.data.Batches, or steps_per_call=1 "
            f"for batches of type {type(batches).__name__}"
        )

    return call


def _check_first_step(first: int, n: int, state: PyTree, metrics: Any, finite: Collection[str] | None) -> None:
    if int(state.step) != first + n:
        raise ValueError(f"step must add 1 to state.step; in {n} steps it went from {first} to {int(state.step)}")
    check_metrics(metrics)
    if unknown := set(finite or ()) - metrics.keys():
        raise ValueError(f"finite={sorted(unknown)}: the step has no such metric, only {sorted(metrics)}")


def _first_bad_metric(
    recent: Iterable[tuple[int, int, Mapping[str, Any]]], names: Sequence[str], until: int
) -> tuple[str, int, float] | None:
    """Return the first of these metrics that was not finite in recent calls up to step `until`: name, step, value."""
    for start, n, rows in recent:
        values = {name: np.atleast_1d(value)[:n] for name, value in jax.device_get(_not_deleted(rows)).items()}
        for i in range(min(n, until + 1 - start)):
            for name in names:
                if name in values and not math.isfinite(values[name][i]):
                    return name, start + i, float(values[name][i])
    return None


def _not_deleted(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out metrics that were parts of the state, which the next step donated."""
    return {name: value for name, value in metrics.items() if not getattr(value, "is_deleted", bool)()}


def _how_to_restart(checkpoints: Checkpoints | None) -> str:
    if checkpoints is not None:
        checkpoints.wait()
        if (step := checkpoints.latest_step) is not None:
            good = f"The last good checkpoint is of step {step}, in {checkpoints.directory}"
            return f"{good}: resume from it with a smaller learning rate"
    return "Nothing good was saved: start again with a smaller learning rate, a warm-up or gradient clipping"

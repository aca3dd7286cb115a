"""Several training steps in one call of a compiled function, so that small models do not wait for Python."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

Step = Callable[[PyTree, PyTree], tuple[PyTree, Mapping[str, Any]]]


@runtime_checkable
class WindowedBatches(Protocol):
    """Batches that a compiled function can draw by itself from data on the device."""

    data: PyTree

    def window(self, step: int, n: int, length: int) -> Int[Array, "length batch"]:
        """Which examples make up the batches of n <= length steps from `step`."""
        ...

    def select(self, data: PyTree, index: Int[Array, " batch"]) -> PyTree:
        """The batch of these examples."""
        ...


def window_of_steps(step: Step, batches: WindowedBatches, length: int) -> Callable:
    """Jitted `run(state, data, window, n) -> (state, metrics of the last step, of each in arrays of length rows)`.

    The number n <= length of steps is dynamic, so that one program serves windows that a log point cuts short. The
    state is donated. Raises TypeError for metrics that are not a dict.
    """

    def run(state: PyTree, data: PyTree, window: Int[Array, "length batch"], n: int | Int[Array, ""]) -> Any:
        def body(i: Array, loop: tuple) -> tuple:
            state, _, rows = loop
            state, metrics = step(state, batches.select(data, window[i]))
            metrics = {name: jnp.asarray(value, rows[name].dtype) for name, value in metrics.items()}
            return state, metrics, {name: rows[name].at[i].set(value) for name, value in metrics.items()}

        _, found = jax.eval_shape(step, state, batches.select(data, window[0]))
        check_metrics(found)
        last = {name: jnp.zeros(value.shape, value.dtype) for name, value in found.items()}
        rows = {name: jnp.zeros((length, *value.shape), value.dtype) for name, value in found.items()}
        return jax.lax.fori_loop(0, n, body, (state, last, rows))

    return jax.jit(run, donate_argnums=0)


def check_metrics(metrics: Any) -> None:
    """Raise TypeError for a step that does not return a dict of metrics."""
    if not isinstance(metrics, Mapping):
        raise TypeError(f"step(state, batch) must return (state, dict of scalars), got {type(metrics).__name__}")

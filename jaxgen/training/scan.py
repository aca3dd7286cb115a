"""Several training steps in one call of a compiled function, so that small models do not wait for Python."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

Step = Callable[[PyTree, PyTree], tuple[PyTree, Mapping[str, Any]]]
Metrics = dict[str, Array]


@runtime_checkable
class WindowedBatches(Protocol):
    """Batches that a compiled function can select from data on the device."""

    data: PyTree

    def window(self, step: int, n: int, length: int) -> Int[Array, "length batch"]:
        """Return the indices of the examples in the batches of n <= length steps from `step`."""
        ...

    def select(self, data: PyTree, index: Int[Array, " batch"]) -> PyTree:
        """Return the batch of the examples with these indices."""
        ...


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def scanned_steps(
    step: Step,
    select: Callable[[PyTree, Array], PyTree],
    state: PyTree,
    data: PyTree,
    window: Int[Array, "length batch"],
    n: int | Int[Array, ""],
) -> tuple[PyTree, Metrics, Metrics]:
    """Take n <= length steps; the state is donated.

    Returns:
        The last state, the metrics of the last step, and the metrics of every step in arrays of `length` rows.

    Raises:
        TypeError: if the metrics are not a dict.
    """
    _, found = jax.eval_shape(step, state, select(data, window[0]))
    check_metrics(found)
    last = {name: jnp.zeros(value.shape, value.dtype) for name, value in found.items()}
    rows = {name: jnp.zeros((len(window), *value.shape), value.dtype) for name, value in found.items()}

    def body(i: Array, loop: tuple[PyTree, Metrics, Metrics]) -> tuple[PyTree, Metrics, Metrics]:
        state, _, rows = loop
        state, metrics = step(state, select(data, window[i]))
        last = {name: jnp.asarray(value, rows[name].dtype) for name, value in metrics.items()}
        return state, last, {name: rows[name].at[i].set(value) for name, value in last.items()}

    # n is dynamic, so that one program serves windows of any length
    return jax.lax.fori_loop(0, n, body, (state, last, rows))


def check_metrics(metrics: Any) -> None:
    """Raise TypeError for metrics that are not a dict."""
    if not isinstance(metrics, Mapping):
        raise TypeError(f"step(state, batch) must return (state, dict of scalars), got {type(metrics).__name__}")

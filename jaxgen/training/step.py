"""The train step: per-example losses in, an updated state out."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from jaxgen.core import check_at_least
from jaxgen.training.ema import Ema, update_ema, warmup_ema
from jaxgen.training.mesh import Layout
from jaxgen.training.state import TrainState

LossFn = Callable[..., Any]
"""`loss_fn(key, params, batch, **carry)` returns losses, (losses, metrics) or (losses, metrics, carry).

The losses have the shape (B,), the metrics are a dict of arrays () or (B,). `carry` is the state's: a loss function
takes each of its entries as a keyword argument and returns a dict of their new values. Most have none.
"""

Metrics = dict[str, Float[Array, ""]]
Update = Callable[..., tuple[TrainState, Metrics]]


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    ema: Ema | None = warmup_ema(),  # noqa: B008, a pure function
    accumulate: int = 1,
    layout: Layout | None = None,
) -> Callable[[TrainState, PyTree], tuple[TrainState, Metrics]]:
    """Return a jitted `step(state, batch) -> (state, metrics)` that donates the state.

    The metrics are scalars on the device: `loss` (the mean over the batch), `grad_norm` (the global 2-norm) and the
    means of the loss function's own. The loss function's key is fold_in(state.key, state.step), so that a resumed run
    repeats the run that was never stopped.

    Args:
        loss_fn: see `LossFn`.
        optimizer: the one that the state was created with.
        ema: the decay of the average; None makes the average equal to the parameters.
        accumulate: the number of passes over B/accumulate examples each in which the gradient is computed, for a
            batch of B examples that does not fit into memory. Each pass has its own key.
        layout: the shardings of the state, as given to `place`; None on one device.

    Returns:
        The compiled step.

    Raises:
        ValueError: if `accumulate` < 1; at the first call, if the losses are not (B,), the batch is empty, a metric is
            called loss or grad_norm, the carry is not that of the state, or `accumulate` does not divide the batch.

    Example:
        ```python
        optimizer = optax.adam(1e-3)
        step = make_train_step(lambda key, params, x: (x - params) ** 2, optimizer)
        state = create_state(jax.random.key(0), jnp.zeros(()), optimizer)
        state, metrics = step(state, jnp.ones(16))
        ```
    """
    check_at_least(1, accumulate=accumulate)
    update = make_update(loss_fn, optimizer, ema, accumulate)

    def step(state: TrainState, batch: PyTree) -> tuple[TrainState, Metrics]:
        return update(state, batch)

    return jit_step(step, layout)


def jit_step(step: Callable, layout: Layout | None) -> Callable:
    """Compile a step that donates its state and returns it in the given layout."""
    return jax.jit(step, donate_argnums=0, out_shardings=None if layout is None else (layout, None))


def make_update(
    loss_fn: LossFn, optimizer: optax.GradientTransformation, ema: Ema | None, accumulate: int = 1
) -> Update:
    """Return `update(state, batch, *others)`, which calls loss_fn(key, params, *others, batch, **carry)."""

    def mean_loss(
        params: PyTree, key: PRNGKeyArray, batch: PyTree, carry: PyTree, others: tuple
    ) -> tuple[Array, tuple]:
        out = loss_fn(key, params, *others, batch, **carry)
        losses, extra, new_carry = (*out, {}, {})[:3] if isinstance(out, tuple) else (out, {}, {})
        if losses.ndim != 1:
            raise ValueError(f"loss_fn must return losses of shape (B,), got {losses.shape}: leave the mean out")
        if not losses.size:
            raise ValueError("the batch is empty: loss_fn returned no losses. Check the data and the batch size")
        if clash := {"loss", "grad_norm"} & extra.keys():
            raise ValueError(f"the step itself reports {sorted(clash)}: give the loss function's metrics other names")
        if (found := jax.tree.structure(new_carry)) != (expected := jax.tree.structure(carry)):
            raise ValueError(
                f"loss_fn must return (losses, metrics, carry) with the carry of the state: expected {expected}, "
                f"got {found}. The initial carry is an argument of create_state"
            )
        return jnp.mean(losses), (jax.tree.map(jnp.mean, extra), jax.lax.stop_gradient(new_carry))

    def gradient(
        params: PyTree, key: PRNGKeyArray, batch: PyTree, carry: PyTree, others: tuple
    ) -> tuple[PyTree, PyTree]:
        (loss, (extra, carry)), grads = jax.value_and_grad(mean_loss, has_aux=True)(params, key, batch, carry, others)
        return (loss, extra, grads), carry

    def update(state: TrainState, batch: PyTree, *others: PyTree) -> tuple[TrainState, Metrics]:
        mean_gradient = gradient if accumulate == 1 else partial(_accumulate, gradient, parts=accumulate)
        key = jax.random.fold_in(state.key, state.step)
        (loss, extra, grads), carry = mean_gradient(state.params, key, batch, state.carry, others)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        n = state.step + 1
        average = params if ema is None else update_ema(state.ema, params, ema(n))
        state = state.replace(step=n, params=params, opt_state=opt_state, ema=average, carry=carry)
        return state, {"loss": loss, "grad_norm": optax.tree.norm(grads), **extra}

    return update


def split_batch(batch: PyTree, parts: int, name: str) -> PyTree:
    """Split a batch into equal parts along a new first axis; `name` is the option that asks for it."""

    def split(x: Array) -> Array:
        if x.shape[0] % parts:
            raise ValueError(f"{name}={parts} does not divide the batch of {x.shape[0]} examples")
        # every parts-th example: each part stays spread over the devices that hold the batch
        return x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(split, batch)


def _accumulate(
    function: Callable, params: PyTree, key: PRNGKeyArray, batch: PyTree, carry: PyTree, others: tuple, parts: int
) -> tuple[PyTree, PyTree]:
    """Mean of function(params, key_i, part_i, carry_i, others) over equal parts of the batch, and the last carry."""

    def add(state: tuple[PyTree, PyTree], inputs: tuple[PRNGKeyArray, PyTree]) -> tuple[tuple[PyTree, PyTree], None]:
        total, carry = state
        found, carry = function(params, *inputs, carry, others)
        return (jax.tree.map(jnp.add, total, found), carry), None

    inputs = jax.random.split(key, parts), split_batch(batch, parts, "accumulate")
    shapes, _ = jax.eval_shape(function, params, *jax.tree.map(lambda x: x[0], inputs), carry, others)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    (total, carry), _ = jax.lax.scan(add, (zeros, carry), inputs)
    return jax.tree.map(lambda x: x / parts, total), carry

"""The train step: per-example losses in, an updated state out."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from jaxgen.training.ema import Ema, update_ema, warmup_ema
from jaxgen.training.mesh import Layout
from jaxgen.training.state import TrainState

LossFn = Callable[..., Any]
"""(key, params, batch) -> losses (B,), or (losses (B,), {name: () or (B,)}) with more metrics to log.

With a carry, (key, params, batch, carry) -> (losses, metrics, carry).
"""

Metrics = dict[str, Float[Array, ""]]


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    ema: Ema | None = warmup_ema(),  # noqa: B008, a pure function
    accumulate: int = 1,
    layout: Layout | None = None,
) -> Callable[[TrainState, PyTree], tuple[TrainState, Metrics]]:
    """Jitted `step(state, batch) -> (state, metrics)`, the state donated.

    The metrics are scalars on the device: `loss` (mean over the batch), `grad_norm` (global 2-norm) and the means of
    the loss function's own. The step's key is fold_in(state.key, state.step): nothing random lives outside the state.
    With `ema=None` the average is the parameters themselves. `accumulate=k` computes the gradient in k passes over
    B/k examples each, to fit a batch B that the memory does not. Where the state has a carry, the loss function is
    given it and returns the next one. layout: where the state lies, which was put there by `place`; on one device
    there is nothing to say. The first call raises ValueError for losses that are not (B,), for a metric
    called loss or grad_norm, and for a batch that `accumulate` does not divide.
    """
    if accumulate < 1:
        raise ValueError(f"accumulate must be at least 1, got {accumulate}")

    def mean_loss(params: PyTree, key: PRNGKeyArray, batch: PyTree, carry: PyTree) -> tuple[Array, tuple]:
        if carry is None:
            out = loss_fn(key, params, batch)
            losses, extra = out if isinstance(out, tuple) else (out, {})
        else:
            losses, extra, carry = loss_fn(key, params, batch, carry)
        if losses.ndim != 1:
            raise ValueError(
                f"loss_fn must return one loss per example, shape (B,), got {losses.shape}; leave the mean out"
            )
        if clash := {"loss", "grad_norm"} & extra.keys():
            raise ValueError(f"the step itself reports {sorted(clash)}: give the loss function's metrics other names")
        return jnp.mean(losses), (jax.tree.map(jnp.mean, extra), jax.lax.stop_gradient(carry))

    def gradient(params: PyTree, key: PRNGKeyArray, batch: PyTree, carry: PyTree) -> tuple[PyTree, PyTree]:
        (loss, (extra, carry)), grads = jax.value_and_grad(mean_loss, has_aux=True)(params, key, batch, carry)
        return (loss, extra, grads), carry

    def step(state: TrainState, batch: PyTree) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        if accumulate == 1:
            (loss, extra, grads), carry = gradient(state.params, key, batch, state.carry)
        else:
            (loss, extra, grads), carry = _mean_over_parts(
                gradient, state.params, key, batch, state.carry, parts=accumulate
            )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        n = state.step + 1
        average = params if ema is None else update_ema(state.ema, params, ema(n))
        state = state.replace(step=n, params=params, opt_state=opt_state, ema=average, carry=carry)
        return state, {"loss": loss, "grad_norm": optax.tree.norm(grads), **extra}

    return jax.jit(step, donate_argnums=0, out_shardings=None if layout is None else (layout, None))


def _mean_over_parts(
    function: Callable, params: PyTree, key: PRNGKeyArray, batch: PyTree, carry: PyTree, *, parts: int
) -> tuple[PyTree, PyTree]:
    """Mean of function(params, key_i, part_i, carry_i) over equal parts of the batch, and the last carry."""

    def split(x: Array) -> Array:
        if x.shape[0] % parts:
            raise ValueError(f"accumulate={parts} does not divide the batch of {x.shape[0]} examples")
        # every parts-th example: each part stays spread over the devices that hold the batch
        return x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)

    def add(state: tuple[PyTree, PyTree], inputs: tuple[PRNGKeyArray, PyTree]) -> tuple[tuple[PyTree, PyTree], None]:
        total, carry = state
        found, carry = function(params, *inputs, carry)
        return (jax.tree.map(jnp.add, total, found), carry), None

    inputs = jax.random.split(key, parts), jax.tree.map(split, batch)
    shapes, _ = jax.eval_shape(function, params, *jax.tree.map(lambda x: x[0], inputs), carry)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    (total, carry), _ = jax.lax.scan(add, (zeros, carry), inputs)
    return jax.tree.map(lambda x: x / parts, total), carry

"""The state of a training run between two steps."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from jaxgen.core import as_float
from jaxgen.training.finite import is_inexact


class TrainState(flax.struct.PyTreeNode):
    """The state that `make_train_step` advances.

    Attributes:
        step: the number of updates so far, int32 ().
        params: the parameters.
        opt_state: the state of the optimiser.
        ema: the average of the parameters, float32 at least.
        key: the typed key () of the whole run; step n uses fold_in(key, n).
        carry: what the loss function keeps from step to step, by name: running statistics, a history of losses.
    """

    # PyTree, not Array: jax builds such nodes with shapes, shardings and placeholders as leaves too.
    step: PyTree
    params: PyTree
    opt_state: PyTree
    ema: PyTree
    key: PyTree
    carry: PyTree = flax.struct.field(default_factory=dict)


def create_state(
    key: PRNGKeyArray,
    params: PyTree,
    optimizer: optax.GradientTransformation,
    carry: Mapping[str, PyTree] | None = None,
) -> TrainState:
    """Return the state before the first step.

    All arrays are copied, since a train step donates its state: the arguments stay usable. The average is float32 at
    least, because a bfloat16 average with a decay of .999 would never move.

    Args:
        key: a typed key ().
        params: the initial parameters.
        optimizer: initialised with `params`.
        carry: initial values of what the loss function keeps from step to step, by name; see `LossFn`.

    Returns:
        The state, at step 0.

    Raises:
        TypeError: if the key is an old-style key, or the carry is not a dict.
    """
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise TypeError(f"create_state needs a typed key, jax.random.key(seed), got {key.dtype}{list(key.shape)}")
    check_carry(carry)

    def average(x: Array) -> Array:
        return as_float(x) if is_inexact(x) else x

    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        ema=jax.tree.map(average, params),
        key=key,
        carry=dict(carry or {}),
    )
    return jax.tree.map(jnp.copy, state)


def check_carry(carry: Any) -> None:
    """Raise TypeError for a carry that is neither a dict nor None."""
    if not isinstance(carry, Mapping | None):
        raise TypeError(f"carry must be a dict, the loss function's keyword arguments, got {type(carry).__name__}")


def check_not_donated(state: Any) -> None:
    """Raise ValueError for a state whose arrays were donated to an earlier step."""
    if any(getattr(x, "is_deleted", bool)() for x in jax.tree.leaves(state)):
        raise ValueError(
            "this state was used by an earlier step, which reuses its memory: continue from the state that `fit` or "
            "the step returned, or create the state anew (in a notebook, run the cell that creates it again)"
        )

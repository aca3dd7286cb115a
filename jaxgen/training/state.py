"""What a training run is made of, from one step to the next."""

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree


class TrainState(flax.struct.PyTreeNode):
    """Step () int32, parameters, optimiser state, average of the parameters, and the typed key () of the whole run.

    carry is what the loss function hands from step to step: running statistics, a history of losses, or None.
    """

    # PyTree, not Array: jax builds such nodes with shapes, shardings and placeholders as leaves too.
    step: PyTree
    params: PyTree
    opt_state: PyTree
    ema: PyTree
    key: PyTree
    carry: PyTree = None


def create_state(
    key: PRNGKeyArray, params: PyTree, optimizer: optax.GradientTransformation, carry: PyTree = None
) -> TrainState:
    """The state before the first step; `key` () is typed; raises TypeError for an old-style key.

    Everything is copied, since a train step donates its state: what is given stays usable. The average is float32
    at least, whatever the parameters are, because a bfloat16 average with decay .999 would never move.
    """
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise TypeError(
            f"create_state needs a typed key, got {key.dtype}{list(key.shape)}; make it with jax.random.key"
        )
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        ema=jax.tree.map(_at_least_float32, params),
        key=key,
        carry=carry,
    )
    return jax.tree.map(jnp.copy, state)


def _at_least_float32(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32)) if jnp.issubdtype(x.dtype, jnp.inexact) else x

"""Whether what was learned is still made of numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxgen.training.state import TrainState


def not_finite(state: PyTree) -> str | None:
    """The first array of a state that holds NaN, None if none does: its path.

    Of a `TrainState` parameters and average may not be infinite either, and what it carries may hold anything; an
    optimiser may begin with infinities, such as the least loss so far.
    """
    strict = ()
    if isinstance(state, TrainState):
        strict, state = (state.params, state.ema), state.replace(carry=None)
    leaves = [(path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state) if _inexact(leaf)]
    finite = [leaf for leaf in jax.tree.leaves(strict) if _inexact(leaf)]
    if bool(_healthy([leaf for _, leaf in leaves], finite)):
        return None
    among = {id(leaf) for leaf in finite}
    for path, leaf in leaves:
        if not bool(_healthy([leaf], [leaf] if id(leaf) in among else [])):
            return jax.tree_util.keystr(path, simple=True, separator="/")
    return None


@jax.jit
def _healthy(numbers: list[Any], finite: list[Any]) -> jax.Array:
    checks = [~jnp.isnan(x).any() for x in numbers] + [jnp.isfinite(x).all() for x in finite]
    return jnp.all(jnp.array(checks))


def _inexact(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype, jnp.inexact)

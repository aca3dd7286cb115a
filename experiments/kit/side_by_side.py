"""Several networks or games trained side by side, such as those of several seeds.

Their arrays have a leading axis, that of the copies. What a copy computes does not see the others.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.gan import AdversarialObjectives
from jaxgen.training import LossFn


@partial(jax.jit, static_argnums=0)
def initial(init: Callable[[jax.Array], Any], keys: jax.Array) -> Any:
    """The first parameters `init(key)` of each key (copies,), stacked."""
    return jax.vmap(init)(keys)


def losses_of(loss: LossFn, copies: int) -> LossFn:
    """The loss function of several copies at once, each with its own parameters, data, opponent and carry.

    A batch has the axis of the copies second, (B, copies, …), and the losses are (copies · B,). The gradient of their
    mean is that of each copy, divided by the number of copies. Adam does not see this factor, and treats every number
    alone. The metrics are means over all copies.
    """

    def of_all(key: jax.Array, own: Any, *others: Any, **carry: Any) -> tuple[jax.Array, dict[str, jax.Array], Any]:
        *opponent, batch = others
        axes = (0, 0, *(0 for _ in opponent), 1)
        each = jax.vmap(lambda carry, *inputs: _in_full(loss(*inputs, **carry)), (0, *axes))
        losses, metrics, carry = each(carry, jax.random.split(key, copies), own, *opponent, batch)
        return losses.ravel(), jax.tree.map(jnp.mean, metrics), carry

    return of_all


def objectives_of(objectives: AdversarialObjectives, copies: int) -> AdversarialObjectives:
    """Both players' losses of several games at once."""
    carry = jax.tree.map(lambda x: jnp.broadcast_to(x, (copies, *jnp.shape(x))), objectives.carry)
    return AdversarialObjectives(losses_of(objectives.generator, copies), losses_of(objectives.critic, copies), carry)


def copy_of(stacked: Any, index: int | slice) -> Any:
    """The arrays of one copy, or of a range of them."""
    return jax.tree.map(lambda leaf: leaf[index], stacked)


def _in_full(out: Any) -> tuple[jax.Array, dict[str, jax.Array], Any]:
    """The losses, metrics and carry of what a loss function returns."""
    return (*out, {}, {})[:3] if isinstance(out, tuple) else (out, {}, {})

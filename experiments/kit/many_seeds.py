"""Several games or networks trained at once, one for each seed: their arrays have a leading axis of seeds."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.gan import AdversarialObjectives
from jaxgen.training import LossFn


def initial(init: Callable[[jax.Array], Any], seed: int, count: int) -> Any:
    """The first parameters of `count` seeds, stacked."""
    return jax.jit(jax.vmap(init))(jax.random.split(jax.random.key(seed), count))


def losses_of(loss: LossFn, count: int) -> LossFn:
    """The loss function of `count` copies of a player at once, each with its own data, opponent and carry.

    A batch has the axis of seeds second. An example's losses are summed over the seeds. So the gradient of each copy is
    its own, and so are Adam's updates, which treat every number by itself. The metrics are means over all seeds.
    """

    def summed(key: jax.Array, own: Any, *others: Any, **carry: Any) -> tuple[jax.Array, dict[str, jax.Array], Any]:
        *opponent, batch = others
        axes = (0, 0, *(0 for _ in opponent), 1)
        each = jax.vmap(lambda carry, *inputs: _in_full(loss(*inputs, **carry)), (0, *axes))
        losses, metrics, carry = each(carry, jax.random.split(key, count), own, *opponent, batch)
        return losses.sum(0), {name: value.mean() for name, value in metrics.items()}, carry

    return summed


def objectives_of(objectives: AdversarialObjectives, count: int) -> AdversarialObjectives:
    """Both players' losses of `count` games at once."""
    carry = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), objectives.carry)
    return AdversarialObjectives(losses_of(objectives.generator, count), losses_of(objectives.critic, count), carry)


def _in_full(out: Any) -> tuple[jax.Array, dict[str, jax.Array], Any]:
    """The losses, metrics and carry of what a loss function returns."""
    return (*out, {}, {})[:3] if isinstance(out, tuple) else (out, {}, {})

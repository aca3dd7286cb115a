"""Markov chains as pairs of pure functions, and the loops that run them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from jaxgen.core import check_at_least, fold_in, per_sample_keys


class Chain(NamedTuple):
    """A batch of B Markov chains as a pair of pure functions, as in blackjax.

    `init(x)` makes the state from positions (B, *event). `step(keys, state)` moves it once, chain b by keys[b] of (B,).
    """

    init: Callable[[Array], Any]
    step: Callable[[Array, Any], Any]


def run(keys: Array, chain: Chain, start: Shaped[Array, "b *event"], *, frames: int, thin: int = 1) -> Any:
    """Run chains and keep every `thin`-th state, in one `lax.scan`.

    Args:
        keys: (B,) typed keys, one per chain; see `core.per_sample_keys` for keys that are not threefry.
        chain: such as `langevin(score, step_size)`.
        start: positions (B, *event).
        frames: number ≥ 0 of states kept after the first.
        thin: steps ≥ 0 of the chain from one kept state to the next.

    Returns:
        The states, a pytree with a leading axis of frames + 1: entry 0 is the start, entry k the state after k · thin
        steps.

    Raises:
        ValueError: if keys are not typed or not of shape (B,), frames < 0, or thin < 0.

    Example:
        >>> chain = langevin(lambda x: -x, step_size=0.1)  # of N(0, I)
        >>> path = run(keys, chain, start, frames=50, thin=20)
    """
    keys = per_sample_keys(keys)
    check_at_least(0, frames=frames, thin=thin)
    first = chain.init(start)

    def frame(state: Any, index: Array) -> tuple[Any, Any]:
        state = advance(fold_in(keys, index), chain, state, thin)
        return state, state

    _, path = jax.lax.scan(frame, first, jnp.arange(1, frames + 1))
    return jax.tree.map(lambda first, later: jnp.concatenate([jnp.asarray(first)[None], later]), first, path)


def advance(keys: Array, chain: Chain, state: Any, steps: int) -> Any:
    """Advance chains by a number of steps, in one loop.

    Args:
        keys: keys (B,), one per chain. Step i takes `core.fold_in(keys, i)`.
        chain: such as `langevin(score, step_size)`.
        state: the state of the chains, from `chain.init` or earlier steps.
        steps: number of steps ≥ 0.

    Returns:
        The state after these steps.
    """
    return jax.lax.fori_loop(0, steps, lambda i, state: chain.step(fold_in(keys, i), state), state)

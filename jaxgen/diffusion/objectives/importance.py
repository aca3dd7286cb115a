"""Training times drawn where the loss is large, with weights that keep its mean (Nichol & Dhariwal 2021, eq. 18).

t, weights = importance.draw(key, history, batch)
losses = vlb_loss(key, process, network, x0, times=lambda key, n: t)    # train on weights * losses
history = importance.record(history, t, losses)
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.core import PytreeDataclass


class LossHistory(PytreeDataclass):
    """The last losses of each of T steps, as a pytree that lives in a jitted training step; see `loss_history`."""

    squares: Any  # (T, window), a ring of squared losses for each step
    counts: Any  # (T,), losses ever recorded of each


def loss_history(steps: int, window: int = 10) -> LossHistory:
    """An empty history of `window` losses for each of T `steps`; raises ValueError unless both are at least 1."""
    if steps < 1 or window < 1:
        raise ValueError(f"a history needs steps >= 1 and window >= 1, got {steps} and {window}")
    return LossHistory(squares=jnp.zeros((steps, window)), counts=jnp.zeros(steps, jnp.int32))


def probabilities(history: LossHistory, uniform_share: float = 0.001) -> Float[Array, " steps"]:
    """p_t ∝ √E[L_t²] with a uniform share in it, uniform until every step has a full window of losses, all finite.

    The second moment is what makes the weighted loss vary least (Nichol & Dhariwal 2021, eq. 18).
    Raises ValueError unless 0 < uniform_share ≤ 1: a step without losses must still be seen.
    """
    if not 0 < uniform_share <= 1:
        raise ValueError(f"uniform_share must lie in (0, 1], got {uniform_share}")
    steps, window = history.squares.shape
    scale = jnp.sqrt(history.squares.mean(-1))
    total = scale.sum()
    # a square that overflowed would make every p NaN for as long as it is in its window
    ready = jnp.all(history.counts >= window) & (total > 0) & jnp.isfinite(total)
    share = jnp.where(ready, scale / jnp.where(ready, total, 1), 1 / steps)
    return (1 - uniform_share) * share + uniform_share / steps


def draw(
    key: Key[Array, ""], history: LossHistory, n: int, uniform_share: float = 0.001
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """n times t in {1/T, …, 1} from `probabilities`, and the weights 1/(T p_t), under which a mean over t is unbiased.

    Raises ValueError as `probabilities` does.
    """
    p = probabilities(history, uniform_share)
    # by Gumbel noise: a cumulative sum would lose the smallest p in its rounding
    index = jax.random.categorical(key, jnp.log(p), shape=(n,))
    return (index + 1) / len(p), 1 / (len(p) * p[index])


def record(history: LossHistory, t: Float[Array, " n"], losses: Float[Array, " n"]) -> LossHistory:
    """The history with the losses (n,) at t in {1/T, …, 1} added in their order, before weights; t may repeat.

    No gradient passes. Under `pmap` gather t and losses over the devices first, so that all keep the same history.
    """
    steps, window = history.squares.shape
    index = jnp.clip(jnp.round(t * steps).astype(jnp.int32) - 1, 0, steps - 1)
    # the place of each loss among those of its own step: its place in a stable sort less that of the first of them
    order = jnp.argsort(index, stable=True)
    ranked = index[order]
    first = jnp.searchsorted(ranked, ranked, side="left")
    after = jnp.searchsorted(ranked, ranked, side="right")
    place = jnp.arange(len(t)) - first
    # of more losses than the window the last ones stay: the others are sent out of bounds, which drops them
    kept = place >= after - first - window
    column = jnp.where(kept, (history.counts[ranked] + place) % window, window)
    squares = jax.lax.stop_gradient(losses[order]).astype(history.squares.dtype) ** 2
    return LossHistory(
        squares=history.squares.at[ranked, column].set(squares, mode="drop"),
        counts=history.counts.at[index].add(1),
    )

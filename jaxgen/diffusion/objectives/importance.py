"""Importance sampling of training times (Nichol & Dhariwal 2021, eq. 18).

Times are drawn more often where the loss is large, and weights keep the mean loss unbiased:

    t, weights = importance.draw(key, history, batch_size)
    losses = vlb_loss(key, process, network, x0, times=lambda key, n: t)  # train on weights * losses
    history = importance.record(history, t, losses)
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.core import PytreeDataclass


class LossHistory(PytreeDataclass):
    """The last losses of each of T steps; see `loss_history`."""

    squares: Any  # (T, window), a ring buffer of squared losses for each step
    counts: Any  # (T,), number of losses recorded so far


def loss_history(steps: int, window: int = 10) -> LossHistory:
    """Empty history of the last losses of each step, a pytree for a jitted training step.

    Args:
        steps: number of steps T ≥ 1.
        window: number ≥ 1 of losses kept for each step.

    Returns:
        The history.

    Raises:
        ValueError: if steps < 1 or window < 1.
    """
    if steps < 1 or window < 1:
        raise ValueError(f"a history needs steps >= 1 and window >= 1, got {steps} and {window}")
    return LossHistory(squares=jnp.zeros((steps, window)), counts=jnp.zeros(steps, jnp.int32))


def probabilities(history: LossHistory, uniform_share: float = 0.001) -> Float[Array, " steps"]:
    """Probabilities p_t ∝ √E[L_t²] of the T steps, which minimise the variance of the weighted loss.

    They are uniform until every step has a full window of losses, and while a loss in a window is not finite.

    Args:
        history: the losses so far.
        uniform_share: share in (0, 1] of a uniform distribution, so that every step is drawn.

    Returns:
        The probabilities (T,).

    Raises:
        ValueError: if uniform_share is outside (0, 1].
    """
    if not 0 < uniform_share <= 1:
        raise ValueError(f"uniform_share must lie in (0, 1], got {uniform_share}")
    steps, window = history.squares.shape
    scale = jnp.sqrt(history.squares.mean(-1))
    total = scale.sum()
    # an infinite square would make every p NaN for as long as it is in its window
    ready = jnp.all(history.counts >= window) & (total > 0) & jnp.isfinite(total)
    share = jnp.where(ready, scale / jnp.where(ready, total, 1), 1 / steps)
    return (1 - uniform_share) * share + uniform_share / steps


def draw(
    key: Key[Array, ""], history: LossHistory, n: int, uniform_share: float = 0.001
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Draw n times t in {1/T, …, 1} from `probabilities`.

    Args:
        key: key of the draws.
        history: the losses so far.
        n: number of times.
        uniform_share: as in `probabilities`.

    Returns:
        The times and the weights 1/(T p_t), which make a weighted mean over t unbiased; both (n,).

    Raises:
        ValueError: as `probabilities` does.
    """
    p = probabilities(history, uniform_share)
    # Gumbel noise keeps the smallest p, which a cumulative sum would round away
    index = jax.random.categorical(key, jnp.log(p), shape=(n,))
    return (index + 1) / len(p), 1 / (len(p) * p[index])


def record(history: LossHistory, t: Float[Array, " n"], losses: Float[Array, " n"]) -> LossHistory:
    """Return the history with losses added in their order, without gradient.

    Under `pmap`, gather t and losses over the devices first, so that all devices keep the same history.

    Args:
        history: the losses so far.
        t: times (n,) in {1/T, …, 1}; a time may occur more than once.
        losses: the losses (n,) at these times, unweighted.

    Returns:
        The new history.
    """
    steps, window = history.squares.shape
    index = jnp.clip(jnp.round(t * steps).astype(jnp.int32) - 1, 0, steps - 1)
    # rank of each loss among those of its own step: its rank in a stable sort minus that of the first of them
    order = jnp.argsort(index, stable=True)
    ordered = index[order]
    first = jnp.searchsorted(ordered, ordered, side="left")
    after = jnp.searchsorted(ordered, ordered, side="right")
    rank = jnp.arange(len(t)) - first
    # only the last `window` losses are kept: the index of the others is out of bounds, which drops them
    kept = rank >= after - first - window
    column = jnp.where(kept, (history.counts[ordered] + rank) % window, window)
    squares = jax.lax.stop_gradient(losses[order]).astype(history.squares.dtype) ** 2
    return LossHistory(
        squares=history.squares.at[ordered, column].set(squares, mode="drop"),
        counts=history.counts.at[index].add(1),
    )

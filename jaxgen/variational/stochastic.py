"""Stochastic variational inference: the log joint of a mini-batch, gradient ascent and natural-gradient ascent."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import check_at_least, is_traced
from jaxgen.variational.estimators import LogJoint


def minibatch(
    log_prior: LogJoint, log_likelihood: Callable[[Any, Any], Array], batch: Any, total: ArrayLike
) -> LogJoint:
    """The log joint log p(z) + (N/B) Σ_b log p(x_b | z) of a mini-batch of B of N examples.

    Its mean over uniformly drawn batches is the log joint of all data. So bounds that are linear in it, those of
    `reparameterised` and `score_function`, and their gradients are unbiased; importance-weighted bounds are not.

    Args:
        log_prior: z -> log p(z), ().
        log_likelihood: (z, x_b) -> log p(x_b | z), ().
        batch: a pytree of leaves (B, ...).
        total: N, the number of all examples.

    Returns:
        The log joint, a function z -> () in nats.

    Raises:
        ValueError: if the leaves differ in length, the batch is empty, or a concrete total is less than B.

    Reference:
        Hoffman et al. 2013, §2.4.

    Example:
        Local variables have a bound of their own inside the likelihood:

            def log_likelihood(z, example):  # x, a key, and the params of q(local)
                x, key, local_params = example
                return reparameterised(key, lambda local: log_p(x, local, z), local_family, local_params)
    """
    lengths = {leaf.shape[0] if leaf.shape else None for leaf in jax.tree.leaves(batch)}
    if len(lengths) != 1 or None in lengths or 0 in lengths:
        raise ValueError(f"a batch holds leaves of one length (B, ...), B >= 1, got {sorted(map(str, lengths))}")
    (size,) = lengths
    if not is_traced(total) and not size <= np.asarray(total):
        raise ValueError(f"total is the number of all data: at least the {size} of the batch, got {total}")

    def log_joint(z: Any) -> Array:
        return log_prior(z) + total / size * jax.vmap(log_likelihood, (None, 0))(z, batch).sum()

    return log_joint


class Ascent(NamedTuple):
    """The final parameters of an ascent, and what was recorded at every step: leaves (steps, ...)."""

    params: Any
    followed: Any


def maximise(
    key: Key[Array, ""],
    bound: Callable[[Array, Any], Array],
    params: Any,
    optimizer: optax.GradientTransformation,
    steps: int,
    *,
    follow: Callable[[Any], Any] | None = None,
) -> Ascent:
    """Stochastic gradient ascent on a bound with an optax optimiser, as one `lax.scan`.

    Args:
        key: one key; each step gets its own, from which the bound draws everything, its batch too.
        bound: (key, params) -> (), an estimate of the bound.
        params: the start.
        optimizer: an optax optimiser, which minimises −bound.
        steps: the number of steps ≥ 1.
        follow: params -> a pytree to record at the start of every step; by default the estimate of the bound.

    Returns:
        The params after the last step, and the record, of leaves (steps, ...).

    Raises:
        ValueError: if steps < 1.
    """
    check_at_least(1, steps=steps)

    def step(state: tuple[Any, Any], i: Array) -> tuple[tuple[Any, Any], Any]:
        params, moments = state
        value, gradient = jax.value_and_grad(lambda params: -bound(jax.random.fold_in(key, i), params))(params)
        updates, moments = optimizer.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moments), -value if follow is None else follow(params)

    (params, _), followed = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(steps))
    return Ascent(params, followed)


def robbins_monro(delay: float = 1.0, forgetting: float = 0.7) -> Callable[[ArrayLike], Float[Array, ""]]:
    """The step sizes ρ_t = (t + delay)^{−forgetting} at t = i + 1, for which Σρ = ∞ and Σρ² < ∞.

    Args:
        delay: ≥ 0; a larger one makes the first steps smaller.
        forgetting: in (.5, 1]; outside one of the two sums fails (Robbins & Monro 1951).

    Returns:
        The function i -> ρ, for steps i = 0, 1, ….

    Raises:
        ValueError: unless delay ≥ 0 is finite and .5 < forgetting ≤ 1.

    Reference:
        Hoffman et al. 2013, eq. 26.
    """
    if not (0 <= delay < np.inf and 0.5 < forgetting <= 1):
        raise ValueError(f"need delay >= 0 and forgetting in (.5, 1], got {delay} and {forgetting}")
    return lambda i: (jnp.asarray(i, float) + 1 + delay) ** -forgetting


def natural_ascent(
    key: Key[Array, ""],
    target: Callable[[Array, Any], Any],
    natural: Any,
    rate: Callable[[Array], Array],
    steps: int,
    *,
    follow: Callable[[Any], Any] | None = None,
) -> Ascent:
    """Natural-gradient ascent λ ← (1 − ρ) λ + ρ λ̂ in a conjugate model (Hoffman et al. 2013, §2.4).

    Args:
        key: one key; each step gets its own.
        target: (key, λ) -> λ̂ draws a batch and returns the coordinate update of λ if all data were like it. λ̂ − λ is a
            natural gradient of the ELBO, unbiased if the batch is drawn uniformly.
        natural: the natural parameters λ of the global factors at the start.
        rate: i -> ρ in (0, 1] for steps i = 0, 1, …: `robbins_monro()`, or a constant function.
        steps: the number of steps ≥ 1.
        follow: λ -> a pytree to record at the start of every step; by default λ.

    Returns:
        The λ after the last step, and the record, of leaves (steps, ...).

    Raises:
        ValueError: if steps < 1.
    """
    check_at_least(1, steps=steps)

    def step(natural: Any, i: Array) -> tuple[Any, Any]:
        goal, rho = target(jax.random.fold_in(key, i), natural), rate(i)
        moved = jax.tree.map(lambda now, then: (now + rho * (then - now)).astype(now.dtype), natural, goal)
        return moved, natural if follow is None else follow(natural)

    natural, followed = jax.lax.scan(step, natural, jnp.arange(steps))
    return Ascent(natural, followed)

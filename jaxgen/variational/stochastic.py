"""Stochastic variational inference: bounds of mini-batches, and stochastic gradient ascent on them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.variational.estimators import LogJoint


def minibatch(
    log_prior: LogJoint, log_likelihood: Callable[[Any, Any], Array], batch: Any, total: ArrayLike
) -> LogJoint:
    """The log joint log p(z) + (N/B) Σ_b log p(x_b | z) of a batch of B of N = total data (Hoffman et al. 2013, §2.4).

    Its mean over batches drawn uniformly is that of all data, and so are the means of the bounds that are linear in it
    and of their gradients: those of `reparameterised` and `score_function`, not of the importance-weighted ones.
    log_likelihood(z, x_b) -> (); batch: a pytree of leaves (B, ...). Local variables have a bound of their own inside:

        def log_likelihood(z, datum):  # datum: x, a key, and the parameters of q(local)
            x, key, of_local = datum
            return reparameterised(key, lambda local: log_p(x, local, z), local_family, of_local)

    Raises ValueError for leaves of different lengths, none, or more than total.
    """
    lengths = {leaf.shape[0] if leaf.shape else None for leaf in jax.tree.leaves(batch)}
    if len(lengths) != 1 or None in lengths or 0 in lengths:
        raise ValueError(
            f"a batch holds leaves of one length (B, ...), B >= 1, got lengths {sorted(map(str, lengths))}"
        )
    (size,) = lengths
    if not isinstance(total, jax.core.Tracer) and not size <= np.asarray(total):
        raise ValueError(f"total is the number of all data: at least the {size} of the batch, got {total}")

    def log_joint(z: Any) -> Array:
        return log_prior(z) + total / size * jax.vmap(log_likelihood, (None, 0))(z, batch).sum()

    return log_joint


class Ascent(NamedTuple):
    """Where an ascent ended, and what it followed in every step: leaves (steps, ...)."""

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
    """Stochastic gradient ascent on bound(key, params) -> () by an optax optimiser, as one `lax.scan`.

    bound draws all it needs, its batch too, from the key of its step. follow(params) -> a pytree is kept at the start
    of every step; by default the bound's own estimate is. Raises ValueError unless steps ≥ 1.
    """
    if steps < 1:
        raise ValueError(f"need at least one step, got {steps}")

    def step(state: tuple[Any, Any], i: Array) -> tuple[tuple[Any, Any], Any]:
        params, moments = state
        value, gradient = jax.value_and_grad(lambda params: -bound(jax.random.fold_in(key, i), params))(params)
        updates, moments = optimizer.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moments), -value if follow is None else follow(params)

    (params, _), followed = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(steps))
    return Ascent(params, followed)


def robbins_monro(delay: float = 1.0, forgetting: float = 0.7) -> Callable[[ArrayLike], Float[Array, ""]]:
    """Steps ρ_t = (t + delay)^{−forgetting}, t = i + 1 for the i-th from 0, with Σρ = ∞ and Σρ² < ∞.

    Hoffman et al. 2013, eq. 26. Raises ValueError unless delay ≥ 0 and .5 < forgetting ≤ 1, outside which one of the
    two sums fails (Robbins & Monro 1951).
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

    natural: the natural parameters λ of the global factors. target(key, λ) -> λ̂ draws a batch, and returns what a
    coordinate update would make of λ if all data were like it; λ̂ − λ is a natural gradient of the ELBO, unbiased if the
    batch is uniform. rate(i) -> ρ in (0, 1] for the steps i = 0, 1, …: `robbins_monro`, or a constant. follow(λ) -> a
    pytree, λ itself by default, is kept at the start of every step. Raises ValueError unless steps ≥ 1.
    """
    if steps < 1:
        raise ValueError(f"need at least one step, got {steps}")

    def step(natural: Any, i: Array) -> tuple[Any, Any]:
        aim, rho = target(jax.random.fold_in(key, i), natural), rate(i)
        moved = jax.tree.map(lambda now, then: (now + rho * (then - now)).astype(now.dtype), natural, aim)
        return moved, natural if follow is None else follow(natural)

    natural, followed = jax.lax.scan(step, natural, jnp.arange(steps))
    return Ascent(natural, followed)

"""Amortised variational inference: one inference function for all data in place of an optimum for each."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float, Key

from jaxgen.distributions import Family
from jaxgen.variational.estimators import reparameterised


def amortised(
    keys: Key[Array, " b"],
    log_joint: Callable[[Any, Any], Array],
    family: Family,
    encode: Callable[[Any], Any],
    x: Any,
    *,
    estimator: Callable[..., Array] = reparameterised,
    **options: Any,
) -> Float[Array, " b"]:
    """Each datum's bound under q(z | x) = family(encode(x)) (Kingma & Welling 2014, §2.2; Gershman & Goodman 2014).

    log_joint(x_b, z) -> (); encode(x) -> the family's params, leaves (B, ...); x: a pytree of leaves (B, ...);
    estimator and options: of `elbo`. Differentiable in all that log_joint and encode close over: decoder and encoder.
    """

    def bound(key: Array, x: Any, params: Any) -> Array:
        return estimator(key, lambda z: log_joint(x, z), family, params, **options)

    return jax.vmap(bound)(keys, x, encode(x))


class InferenceGaps(NamedTuple):
    """What a bound leaves of log p(x), in nats, (B,) each; both are ≥ 0, their sum is KL(q(z | x) ‖ p(z | x))."""

    approximation: Array
    amortisation: Array


def inference_gaps(
    log_evidence: Float[Array, " b"], best: Float[Array, " b"], encoded: Float[Array, " b"]
) -> InferenceGaps:
    """log p(x) − max_q ELBO, the family's, and max_q ELBO − ELBO(encode(x)), the encoder's (Cremer et al. 2018, eq. 3).

    best: each datum's ELBO at its own optimum; encoded: at what the encoder gives. The best encoder's mean ELBO is at
    most the mean of the optima, and equal only where one encoder reaches them all; the homework prints = for ≤.
    """
    return InferenceGaps(log_evidence - best, best - encoded)

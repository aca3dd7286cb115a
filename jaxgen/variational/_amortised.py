"""Amortised variational inference: one inference function for all data instead of an optimum for each."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float, Key

from jaxgen.core import threefry_key
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
    """The bound of each example under q(z | x) = family(encode(x)).

    It is differentiable in everything that log_joint and encode close over: decoder and encoder.

    Args:
        keys: keys (B,), one per example.
        log_joint: (x_b, z) -> log p(x_b, z), ().
        family: the variational family.
        encode: x -> the params of the family, leaves (B, ...).
        x: data, a pytree of leaves (B, ...).
        estimator: one of the estimators of this room.
        **options: keywords of the estimator.

    Returns:
        The bounds (B,) in nats.

    Raises:
        ValueError: as the estimator does.

    Reference:
        Kingma & Welling 2014, §2.2; Gershman & Goodman 2014.
    """

    def bound(key: Array, x: Any, params: Any) -> Array:
        return estimator(key, lambda z: log_joint(x, z), family, params, **options)

    return jax.vmap(bound)(threefry_key(keys), x, encode(x))


class InferenceGaps(NamedTuple):
    """The two parts of log p(x) − ELBO = KL(q(z | x) ‖ p(z | x)) in nats, both ≥ 0, (B,) each."""

    approximation: Array
    amortisation: Array


def inference_gaps(
    log_evidence: Float[Array, " b"], best: Float[Array, " b"], encoded: Float[Array, " b"]
) -> InferenceGaps:
    """Split log p(x) − ELBO into the gap of the family and that of the encoder.

    The mean ELBO of the best encoder is at most the mean of the optima, and equal only if one encoder reaches them all.

    Args:
        log_evidence: log p(x), (B,).
        best: the ELBO of each example at its own optimum, (B,).
        encoded: the ELBO of each example at the params of the encoder, (B,).

    Returns:
        The approximation gap log p(x) − best and the amortisation gap best − encoded.

    Reference:
        Cremer et al. 2018, eq. 3.
    """
    return InferenceGaps(log_evidence - best, best - encoded)

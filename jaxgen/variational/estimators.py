"""Lower bounds of log p(x) and their stochastic gradients, for any log joint density and any variational family.

Every estimator is a function `estimator(key, log_joint, family, params, *, samples) -> ()`. Its value estimates the
bound, and its derivative (`jax.grad`, in params and in everything that log_joint closes over) is an unbiased estimate
of the gradient of the bound. log_joint: z -> log p(x, z) in nats at the data, (). For one bound per example use
`amortised`. All raise ValueError if log_joint does not return one number or the samples are too few.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.distributions import Family

LogJoint = Callable[[Any], Array]


def reparameterised(
    key: Key[Array, ""],
    log_joint: LogJoint,
    family: Family,
    params: Any,
    *,
    samples: int = 1,
    sticking_the_landing: bool = False,
) -> Float[Array, ""]:
    """The ELBO E_q[log p(x, z) − log q(z)], differentiated through the draws (Kingma & Welling 2014, eq. 6–7).

    Args:
        key: one key.
        log_joint: z -> log p(x, z), ().
        family: a family with differentiable draws.
        params: its parameters.
        samples: the number of draws ≥ 1.
        sticking_the_landing: leave out the derivative of log q in its own parameters, which has mean 0. The remaining
            gradient has no variance where q is the posterior (Roeder et al. 2017, §3).

    Returns:
        The estimate of the ELBO () in nats.

    Raises:
        ValueError: if z is discrete, samples < 1, or log_joint does not return one number.
    """
    z = _continuous(_draws(key, family, params, samples, least=1))
    of_density = jax.lax.stop_gradient(params) if sticking_the_landing else params
    log_p, log_q = _log_densities(log_joint, family, of_density, z)
    return jnp.mean(log_p - log_q)


def score_function(
    key: Key[Array, ""],
    log_joint: LogJoint,
    family: Family,
    params: Any,
    *,
    samples: int = 2,
    leave_one_out: bool = True,
) -> Float[Array, ""]:
    """The ELBO with the gradient E_q[(log p(x, z) − log q(z) − b) ∇log q(z)], for z of any kind (Williams 1992).

    It is also called REINFORCE or black-box variational inference (Ranganath et al. 2014, eq. 3).

    Args:
        key: one key.
        log_joint: z -> log p(x, z), ().
        family: any family.
        params: its parameters.
        samples: the number of draws, ≥ 2 with a baseline and ≥ 1 without.
        leave_one_out: take as baseline b of a draw the mean over the other draws. This keeps the estimate unbiased and
            makes its variance 0 where q is the posterior. Otherwise b = 0.

    Returns:
        The estimate of the ELBO () in nats.

    Raises:
        ValueError: if the samples are too few, or log_joint does not return one number.
    """
    z = jax.lax.stop_gradient(_draws(key, family, params, samples, least=2 if leave_one_out else 1))
    log_p, log_q = _log_densities(log_joint, family, params, z)
    log_w = jax.lax.stop_gradient(log_p - log_q)
    baseline = (log_w.sum() - log_w) / (samples - 1) if leave_one_out else 0
    return _with_value(log_w.mean(), jnp.mean(log_p + (log_w - baseline) * log_q))


def importance_weighted(
    key: Key[Array, ""], log_joint: LogJoint, family: Family, params: Any, *, samples: int = 8
) -> Float[Array, ""]:
    """The importance-weighted bound E log (1/K) Σ_k p(x, z_k)/q(z_k), differentiated through its K = samples draws.

    It lies between the ELBO (K = 1) and log p(x), and rises with K. The gradient in params gets noisier: its signal
    falls as 1/K, its noise only as 1/√K (Rainforth et al. 2018).

    Args:
        key: one key.
        log_joint: z -> log p(x, z), ().
        family: a family with differentiable draws.
        params: its parameters.
        samples: the number K of draws ≥ 1.

    Returns:
        The estimate of the bound () in nats.

    Raises:
        ValueError: if z is discrete, samples < 1, or log_joint does not return one number.

    Reference:
        Burda et al. 2016, §3.
    """
    z = _continuous(_draws(key, family, params, samples, least=1))
    log_p, log_q = _log_densities(log_joint, family, params, z)
    return jax.nn.logsumexp(log_p - log_q) - math.log(samples)


def doubly_reparameterised(
    key: Key[Array, ""], log_joint: LogJoint, family: Family, params: Any, *, samples: int = 8
) -> Float[Array, ""]:
    """The bound of `importance_weighted` with the doubly reparameterised gradient (DReG) in params.

    The gradient in params is E Σ_k w̃_k² ∂(log p − log q)/∂z_k ∂z_k/∂params with normalised weights w̃. Its
    signal-to-noise ratio grows as √K, and it has no variance where q is the posterior. The gradient in what log_joint
    closes over is Σ_k w̃_k ∇log p, as for `importance_weighted`.

    Args:
        key: one key.
        log_joint: z -> log p(x, z), ().
        family: a family with differentiable draws.
        params: its parameters.
        samples: the number K of draws ≥ 1.

    Returns:
        The estimate of the bound () in nats.

    Raises:
        ValueError: if z is discrete, samples < 1, or log_joint does not return one number.

    Reference:
        Tucker et al. 2019, the estimator "DReG" of the IWAE bound.
    """
    z = _continuous(_draws(key, family, params, samples, least=1))
    params = jax.lax.stop_gradient(params)
    log_p, log_q = _log_densities(log_joint, family, params, z)
    log_w = log_p - log_q
    weights = jax.lax.stop_gradient(jax.nn.softmax(log_w))
    # gradients through the draws get w̃ twice, here and in the sum below; all others get it once
    z = jax.tree.map(lambda leaf: _scale_gradient(leaf, weights), z)
    log_p, log_q = _log_densities(log_joint, family, params, z)
    return _with_value(jax.nn.logsumexp(log_w) - math.log(samples), jnp.sum(weights * (log_p - log_q)))


def vimco(
    key: Key[Array, ""], log_joint: LogJoint, family: Family, params: Any, *, samples: int = 8
) -> Float[Array, ""]:
    """The bound L̂ of `importance_weighted` with a gradient for z of any kind (VIMCO).

    The gradient is E Σ_k (L̂ − L̂_{−k}) ∇log q(z_k) + w̃_k ∇(log p − log q)(z_k), where L̂_{−k} replaces the k-th weight
    by the geometric mean of the others.

    Args:
        key: one key.
        log_joint: z -> log p(x, z), ().
        family: any family.
        params: its parameters.
        samples: the number K of draws ≥ 2.

    Returns:
        The estimate of the bound () in nats.

    Raises:
        ValueError: if samples < 2, or log_joint does not return one number.

    Reference:
        Mnih & Rezende 2016, the estimator "VIMCO" with the geometric mean.
    """
    z = jax.lax.stop_gradient(_draws(key, family, params, samples, least=2))
    log_p, log_q = _log_densities(log_joint, family, params, z)
    log_w = jax.lax.stop_gradient(log_p - log_q)
    own = jnp.eye(samples, dtype=bool)
    others = jnp.sum(jnp.where(own, 0, log_w), -1) / (samples - 1)
    swapped = jnp.where(own, others[:, None], log_w)
    bound = jax.nn.logsumexp(log_w) - math.log(samples)
    signal = bound - (jax.nn.logsumexp(swapped, -1) - math.log(samples))
    return _with_value(bound, jnp.sum(signal * log_q + jax.nn.softmax(log_w) * (log_p - log_q)))


def _draws(key: Array, family: Family, params: Any, samples: int, *, least: int) -> Any:
    if samples < least:
        raise ValueError(f"this estimator needs samples >= {least}, got {samples}")
    return jax.vmap(family.sample, (0, None))(jax.random.split(key, samples), params)


def _continuous(z: Any) -> Any:
    kinds = {str(leaf.dtype) for leaf in jax.tree.leaves(z) if not jnp.issubdtype(leaf.dtype, jnp.inexact)}
    if kinds:
        raise ValueError(f"draws of {', '.join(kinds)} have no derivative: use score_function or vimco")
    return z


def _log_densities(log_joint: LogJoint, family: Family, params: Any, z: Any) -> tuple[Array, Array]:
    """log p(x, z_k) and log q(z_k) of all draws, (K,) each."""

    def one(z: Any) -> tuple[Array, Array]:
        log_p, log_q = jnp.asarray(log_joint(z)), family.log_density(params, z)
        if log_p.shape:
            raise ValueError(f"log_joint must return one number, got shape {log_p.shape}: sum it, or use `amortised`")
        return log_p, log_q

    return jax.vmap(one)(z)


def _with_value(value: Array, surrogate: Array) -> Array:
    """The value, with the surrogate's derivative."""
    return jax.lax.stop_gradient(value) + (surrogate - jax.lax.stop_gradient(surrogate))


@jax.custom_jvp
def _scale_gradient(z: Array, weights: Array) -> Array:
    """z (K, …) itself, its derivative times weights (K,)."""
    return z


@_scale_gradient.defjvp
def _scale_gradient_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    z, weights = primals
    return z, weights.reshape(-1, *(1,) * (z.ndim - 1)).astype(z.dtype) * tangents[0]

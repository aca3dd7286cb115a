"""Priors over latents: N(0, I), mixtures, and the mixture of the encoder's own posteriors (VampPrior)."""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.distributions.gaussian import Gaussian, at_least_float32, gaussian_kl_terms

Squash = Literal["sigmoid", "hardtanh"]


class Prior(NamedTuple):
    """p(z): log_density(z (B, *d)) -> (B,), sample(key (), (B, *d)) -> z, and kl(q) -> (B, *d) where it is closed."""

    log_density: Callable[[Array], Array]
    sample: Callable[[Array, tuple[int, ...]], Array]
    kl: Callable[[Gaussian], Array] | None = None


def standard_normal() -> Prior:
    """N(0, I), with KL(q ‖ p) = ½ Σ (μ² + σ² − 1 − log σ²) in closed form (Kingma & Welling 2014, §B)."""

    def unit(like: Array) -> Gaussian:
        return Gaussian(jnp.zeros_like(like), jnp.ones((), like.dtype))

    def kl(q: Gaussian) -> Float[Array, "b *d"]:
        q = at_least_float32(q)
        return gaussian_kl_terms(q, unit(q.mean))

    return Prior(
        log_density=lambda z: unit(z).log_density(z),
        sample=lambda key, shape: jax.random.normal(key, shape),
        kl=kl,
    )


def diagonal_mixture(components: Gaussian, weights: Float[ArrayLike, " k"] | None = None) -> Prior:
    """Σ_k w_k N(μ_k, σ_k²), components of shape (K, *d), equally likely unless weights (K,) ≥ 0 are given.

    The weights are scaled to sum to 1. Its KL is by Monte Carlo only. Time of K·B·d per density, in memory of K·B.
    Raises ValueError for components without an axis K, weights of another shape, and concrete ones that are negative.
    """
    mean, std = at_least_float32(components)
    if mean.ndim < 2:
        raise ValueError(f"components must have shape (K, *d), got {mean.shape}")
    count, event = mean.shape[0], mean.shape[1:]
    std = jnp.broadcast_to(std, mean.shape)
    log_weights = _log_weights(weights, count)
    flat_mean, flat_std = mean.reshape(count, -1), std.reshape(count, -1)

    @jax.checkpoint  # or a gradient would keep all B·K·d differences
    def log_joint(z: Array, mean: Array, std: Array) -> Array:
        square = (((z[:, None] - mean) / std) ** 2).sum(-1)
        return -0.5 * square - jnp.log(std).sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)

    def log_density(z: Float[Array, "b *d"]) -> Float[Array, " b"]:
        if z.shape[1:] != event:
            raise ValueError(f"the components have shape {event}, z {z.shape[1:]}: both are the encoder's")
        terms = log_joint(z.reshape(len(z), -1), flat_mean, flat_std)
        return jax.nn.logsumexp(terms + log_weights.astype(terms.dtype), axis=-1)

    def sample(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "b *d"]:
        if tuple(shape[1:]) != event:
            raise ValueError(f"the components have shape {event}, so samples have (B, *{event}), not {tuple(shape)}")
        which_key, noise_key = jax.random.split(key)
        which = jax.random.categorical(which_key, log_weights, shape=shape[:1])
        return Gaussian(mean[which], std[which]).sample(noise_key)

    return Prior(log_density, sample)


def vamp_prior(
    encode: Callable[[Array], Gaussian],
    pseudo_inputs: Float[Array, "k *event"],
    weights: Float[ArrayLike, " k"] | None = None,
) -> Prior:
    """The mixture (1/K) Σ_k q(z|u_k) of the encoder's posteriors of K pseudo-inputs (Tomczak & Welling 2018, §3).

    pseudo_inputs: u (K, *event) in the data's range, learned with the rest (see `pseudo_inputs`), or K data points.
    They are encoded once, when the prior is made. Raises as `diagonal_mixture` does.
    """
    return diagonal_mixture(Gaussian(*encode(pseudo_inputs)), weights)


def pseudo_inputs(
    free: Float[Array, "k *event"], low: float = 0.0, high: float = 1.0, squash: Squash = "sigmoid"
) -> Float[Array, "k *event"]:
    """Free parameters (K, *event) brought to the data's range [low, high] as pseudo-inputs (Tomczak & Welling 2018).

    squash: "sigmoid", or "hardtanh", a clip as in the authors' code, beyond which nothing is learned.
    Raises ValueError unless low < high, or for another squash.
    """
    _check_squash(low, high, squash)
    return low + (high - low) * jax.nn.sigmoid(free) if squash == "sigmoid" else jnp.clip(free, low, high)


def init_pseudo_inputs(
    x: Float[Array, "k *event"], low: float = 0.0, high: float = 1.0, squash: Squash = "sigmoid", margin: float = 0.01
) -> Float[Array, "k *event"]:
    """The free parameters whose `pseudo_inputs` are x, such as data to begin from.

    x is first moved `margin` of the range inside it, where both squashes have a gradient.
    Raises ValueError unless low < high and 0 < margin < ½, or for another squash.
    """
    _check_squash(low, high, squash)
    if not 0 < margin < 0.5:
        raise ValueError(f"margin must lie in (0, 1/2), got {margin}")
    share = jnp.clip((x - low) / (high - low), margin, 1 - margin)
    return jax.scipy.special.logit(share) if squash == "sigmoid" else low + (high - low) * share


def _log_weights(weights: ArrayLike | None, count: int) -> Array:
    if weights is None:
        return jnp.full(count, -math.log(count))
    if jnp.shape(weights) != (count,):
        raise ValueError(f"weights must have one entry for each of {count} components, got {jnp.shape(weights)}")
    if not isinstance(weights, jax.core.Tracer) and not (np.all(np.asarray(weights) >= 0) and np.any(weights)):
        raise ValueError(f"weights must not be negative, nor all 0, got {weights}")
    log_weights = jnp.log(jnp.asarray(weights))
    return log_weights - jax.nn.logsumexp(log_weights)


def _check_squash(low: float, high: float, squash: str) -> None:
    if not low < high:
        raise ValueError(f"need low < high, got {low} and {high}")
    if squash not in get_args(Squash):
        raise ValueError(f"unknown squash {squash!r}: choose one of {', '.join(get_args(Squash))}")

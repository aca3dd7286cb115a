"""Distributions over the latents of autoencoders: N(0, I), mixtures of diagonal Gaussians, and the VampPrior."""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import PytreeDataclass, check_choice, is_traced
from jaxgen.distributions.gaussian import Gaussian, at_least_float32, gaussian_kl_terms

Squash = Literal["sigmoid", "hardtanh"]


class StandardNormal(PytreeDataclass):
    """N(0, I) over arrays of any shape; see `standard_normal`."""

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Draw standard normal samples.

        Args:
            key: one key.
            shape: the shape of the result.

        Returns:
            The samples.
        """
        return jax.random.normal(key, shape)

    def log_density(self, z: Float[Array, "b *d"]) -> Float[Array, " b"]:
        """Evaluate log N(z; 0, I) in nats, summed over the event.

        Args:
            z: points (B, *d).

        Returns:
            The log-densities (B,).
        """
        return _unit_gaussian(z).log_density(z)

    def kl(self, q: Gaussian) -> Float[Array, "b *d"]:
        """½ (μ² + σ² − 1 − log σ²), KL(q ‖ N(0, I)) in nats of every coordinate (Kingma & Welling 2014, appendix B).

        Args:
            q: a Gaussian (B, *d) of positive std.

        Returns:
            The divergences (B, *d).
        """
        q = at_least_float32(q)
        return gaussian_kl_terms(q, _unit_gaussian(q.mean))


def standard_normal() -> StandardNormal:
    """The `Distribution` N(0, I), whose KL from a `Gaussian` has a closed form.

    Returns:
        The distribution, over arrays of any shape.
    """
    return StandardNormal()


class DiagonalMixture(PytreeDataclass):
    """A mixture of K diagonal Gaussians, made by `diagonal_mixture`: mean and std (K, *d), log-weights (K,)."""

    mean: Array
    std: Array
    log_weights: Array

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "b *d"]:
        """Draw samples.

        Args:
            key: one key.
            shape: the shape (B, *d) of the result.

        Returns:
            The samples.

        Raises:
            ValueError: if shape is not (B, *d).
        """
        event = self.mean.shape[1:]
        if tuple(shape[1:]) != event:
            raise ValueError(f"the components have shape {event}, so samples have (B, *{event}), not {tuple(shape)}")
        component_key, noise_key = jax.random.split(key)
        component = jax.random.categorical(component_key, self.log_weights, shape=shape[:1])
        return Gaussian(self.mean[component], self.std[component]).sample(noise_key)

    def log_density(self, z: Float[Array, "b *d"]) -> Float[Array, " b"]:
        """Evaluate log p(z) in nats, in time of K·B·d and memory of K·B.

        Args:
            z: points (B, *d).

        Returns:
            The log-densities (B,).

        Raises:
            ValueError: if z is not of shape (B, *d).
        """
        if z.shape[1:] != self.mean.shape[1:]:
            raise ValueError(f"the components have shape {self.mean.shape[1:]}, z {z.shape[1:]}: both come of encode")
        count = len(self.mean)

        @jax.checkpoint  # or a gradient would keep all B·K·d differences
        def log_joint(z: Array, mean: Array, std: Array) -> Array:
            square = (((z[:, None] - mean) / std) ** 2).sum(-1)
            return -0.5 * square - jnp.log(std).sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)

        terms = log_joint(z.reshape(len(z), -1), self.mean.reshape(count, -1), self.std.reshape(count, -1))
        return jax.nn.logsumexp(terms + self.log_weights.astype(terms.dtype), axis=-1)


def diagonal_mixture(components: Gaussian, weights: Float[ArrayLike, " k"] | None = None) -> DiagonalMixture:
    """The `Distribution` Σ_k w_k N(μ_k, diag σ_k²).

    It has no KL in closed form, so `jaxgen.vae.elbo` estimates the KL by Monte Carlo.

    Args:
        components: means (K, *d), and stds that broadcast to them.
        weights: K numbers ≥ 0, scaled to sum to 1; equal by default.

    Returns:
        The mixture.

    Raises:
        ValueError: if the components have fewer than two axes, weights are not of shape (K,), or concrete weights are
            negative or all 0.
    """
    mean, std = at_least_float32(components)
    if mean.ndim < 2:
        raise ValueError(f"components must have shape (K, *d), got {mean.shape}")
    return DiagonalMixture(mean, jnp.broadcast_to(std, mean.shape), _log_weights(weights, len(mean)))


def vamp_prior(
    encode: Callable[[Array], Gaussian],
    pseudo_inputs: Float[Array, "k *event"],
    weights: Float[ArrayLike, " k"] | None = None,
) -> DiagonalMixture:
    """The VampPrior: the mixture (1/K) Σ_k q(z | u_k) of the encoder's posteriors of K pseudo-inputs.

    Args:
        encode: the encoder, u (K, *event) -> `Gaussian` of shape (K, *d). It is called once, when the prior is made.
        pseudo_inputs: u (K, *event) in the range of the data, learned with the other parameters (see `pseudo_inputs`)
            or K examples.
        weights: as in `diagonal_mixture`.

    Returns:
        The prior.

    Raises:
        ValueError: as `diagonal_mixture` does.

    Reference:
        Tomczak & Welling 2018, §3.

    Example:
        prior = distributions.vamp_prior(encode, distributions.pseudo_inputs(params["pseudo"]))
        model = vae.VAE(encode, decode, likelihoods.bernoulli(), prior)
    """
    return diagonal_mixture(Gaussian(*encode(pseudo_inputs)), weights)


def pseudo_inputs(
    free: Float[Array, "k *event"], low: float = 0.0, high: float = 1.0, squash: Squash = "sigmoid"
) -> Float[Array, "k *event"]:
    """Map free parameters (K, *event) into the range [low, high] of the data, as pseudo-inputs of a `vamp_prior`.

    Args:
        free: unconstrained parameters.
        low: the smallest value of the data.
        high: the largest value of the data.
        squash: "sigmoid", or "hardtanh": a clip as in the authors' code, with no gradient outside the range.

    Returns:
        The pseudo-inputs (K, *event).

    Raises:
        ValueError: if low ≥ high, or squash is unknown.

    Reference:
        Tomczak & Welling 2018, §3.
    """
    _check_squash(low, high, squash)
    return low + (high - low) * jax.nn.sigmoid(free) if squash == "sigmoid" else jnp.clip(free, low, high)


def init_pseudo_inputs(
    x: Float[Array, "k *event"], low: float = 0.0, high: float = 1.0, squash: Squash = "sigmoid", margin: float = 0.01
) -> Float[Array, "k *event"]:
    """The free parameters at which `pseudo_inputs` equals x, for example K examples to start from.

    Args:
        x: pseudo-inputs (K, *event).
        low: as in `pseudo_inputs`.
        high: as in `pseudo_inputs`.
        squash: as in `pseudo_inputs`.
        margin: x is first clipped to this fraction of the range inside its ends, where both squashes have a gradient.

    Returns:
        The free parameters (K, *event).

    Raises:
        ValueError: if low ≥ high, squash is unknown, or margin is not in (0, ½).
    """
    _check_squash(low, high, squash)
    if not 0 < margin < 0.5:
        raise ValueError(f"margin must lie in (0, 1/2), got {margin}")
    share = jnp.clip((x - low) / (high - low), margin, 1 - margin)
    return jax.scipy.special.logit(share) if squash == "sigmoid" else low + (high - low) * share


def _unit_gaussian(like: Array) -> Gaussian:
    return Gaussian(jnp.zeros_like(like), jnp.ones((), like.dtype))


def _log_weights(weights: ArrayLike | None, count: int) -> Array:
    if weights is None:
        return jnp.full(count, -math.log(count))
    if jnp.shape(weights) != (count,):
        raise ValueError(f"weights must have one entry for each of {count} components, got {jnp.shape(weights)}")
    if not is_traced(weights) and not (np.all(np.asarray(weights) >= 0) and np.any(weights)):
        raise ValueError(f"weights must not be negative, nor all 0, got {weights}")
    log_weights = jnp.log(jnp.asarray(weights))
    return log_weights - jax.nn.logsumexp(log_weights)


def _check_squash(low: float, high: float, squash: str) -> None:
    if not low < high:
        raise ValueError(f"need low < high, got {low} and {high}")
    check_choice(Squash, squash=squash)

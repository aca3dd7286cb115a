"""Variational families: distributions as pure functions of their parameters."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


class Family(NamedTuple):
    """A distribution q(z; params) of one latent variable z, as two functions of its parameters.

    A family is conditional, and not a map from params to a `Distribution`, because estimators differentiate in params
    and vmap over them: both need params as an argument. Use `jax.vmap` to give each example its own params.

    Args:
        sample: (key, params) -> z, one draw, any pytree of arrays; differentiable in params where q can be
            reparameterised.
        log_density: (params, z) -> () in nats, summed over all of z.

    Params are unconstrained, so that every gradient step stays in the family.

    Example:
        A uniform distribution on [0, w]:

            uniform = Family(lambda key, w: w * jax.random.uniform(key), lambda w, z: -jnp.log(w) + 0 * z)
    """

    sample: Callable[[Array, Any], Any]
    log_density: Callable[[Any, Any], Array]


class MeanFieldParams(NamedTuple):
    """Parameters of `mean_field_gaussian`, both shaped as z."""

    mean: Array
    log_std: Array


def mean_field_gaussian() -> Family:
    """Independent Gaussians N(mean, e^{2 log_std}) with params `MeanFieldParams` (Kingma & Welling 2014, §2.4).

    Returns:
        The family. Both of its functions raise ValueError if mean and log_std have different shapes.
    """

    def sample(key: Key[Array, ""], params: MeanFieldParams) -> Float[Array, "*event"]:
        mean, log_std = _same_shape(params)
        return mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)

    def log_density(params: MeanFieldParams, z: Float[Array, "*event"]) -> Float[Array, ""]:
        mean, log_std = _same_shape(params)
        return jnp.sum(-0.5 * ((z - mean) * jnp.exp(-log_std)) ** 2 - log_std - 0.5 * math.log(2 * math.pi))

    return Family(sample, log_density)


class FullGaussianParams(NamedTuple):
    """Parameters of `full_gaussian`: the mean (d,), and a matrix (d, d) whose lower triangle is L with log diagonal."""

    mean: Array
    factor: Array


def full_gaussian() -> Family:
    """A Gaussian N(mean, L Lᵀ) of z (d,) with params `FullGaussianParams` (Titsias & Lázaro-Gredilla 2014, §3).

    Returns:
        The family.
    """

    def sample(key: Key[Array, ""], params: FullGaussianParams) -> Float[Array, " d"]:
        eps = jax.random.normal(key, params.mean.shape, params.mean.dtype)
        return params.mean + jnp.matmul(_cholesky(params), eps, precision="highest")

    def log_density(params: FullGaussianParams, z: Float[Array, " d"]) -> Float[Array, ""]:
        white = jax.scipy.linalg.solve_triangular(_cholesky(params), z - params.mean, lower=True)
        return jnp.sum(-0.5 * white**2 - jnp.diagonal(params.factor) - 0.5 * math.log(2 * math.pi))

    return Family(sample, log_density)


def full_gaussian_params(mean: Float[Array, " d"], covariance: Float[Array, "d d"]) -> FullGaussianParams:
    """The parameters of `full_gaussian` at which it is N(mean, covariance).

    Args:
        mean: the mean (d,).
        covariance: the covariance (d, d), positive definite; another gives NaN.

    Returns:
        The parameters.
    """
    factor = jnp.linalg.cholesky(covariance)
    return FullGaussianParams(mean, jnp.tril(factor, -1) + jnp.diag(jnp.log(jnp.diagonal(factor))))


def full_gaussian_covariance(params: FullGaussianParams) -> Float[Array, "d d"]:
    """The covariance L Lᵀ of `full_gaussian`.

    Args:
        params: the parameters of `full_gaussian`.

    Returns:
        The covariance (d, d).
    """
    factor = _cholesky(params)
    return jnp.matmul(factor, factor.T, precision="highest")


class GammaParams(NamedTuple):
    """Parameters of `gamma`, both shaped as z: log-shape and log-rate."""

    log_shape: Array
    log_rate: Array


def gamma() -> Family:
    """Independent Gamma distributions with params `GammaParams`.

    JAX differentiates the draws implicitly in the shape (Figurnov et al. 2018, §4). The density is 0 for z ≤ 0.
    Draws of small shapes underflow to 0.

    Returns:
        The family.
    """

    def sample(key: Key[Array, ""], params: GammaParams) -> Float[Array, "*event"]:
        shape, log_rate = jnp.broadcast_arrays(jnp.exp(params.log_shape), params.log_rate)
        return jax.random.gamma(key, shape, shape.shape, shape.dtype) * jnp.exp(-log_rate)

    def log_density(params: GammaParams, z: Float[Array, "*event"]) -> Float[Array, ""]:
        shape, log_rate = jnp.broadcast_arrays(jnp.exp(params.log_shape), params.log_rate)
        inside, log_z = _log_of_positive(z)
        normaliser = shape * log_rate - jax.lax.lgamma(shape)
        return jnp.where(inside, jnp.sum(normaliser + (shape - 1) * log_z - z * jnp.exp(log_rate)), -jnp.inf)

    return Family(sample, log_density)


def categorical() -> Family:
    """Independent integers z (*event) in 0…K−1 with probabilities softmax(params), params (*event, K).

    It cannot be reparameterised: use the estimators `score_function` and `vimco`.

    Returns:
        The family.
    """

    def sample(key: Key[Array, ""], params: Float[Array, "*event k"]) -> Int[Array, "*event"]:
        return jax.random.categorical(key, params)

    def log_density(params: Float[Array, "*event k"], z: Int[Array, "*event"]) -> Float[Array, ""]:
        return jnp.sum(jnp.take_along_axis(jax.nn.log_softmax(params), z[..., None], -1))

    return Family(sample, log_density)


def positive(family: Family) -> Family:
    """The family of z = e^u for u from another family, log-normal if u is Gaussian (Kucukelbir et al. 2017, eq. 7).

    log q(z) = log q_u(log z) − Σ log z, and the density is 0 where any part of z is not positive.

    Args:
        family: the family of u, any pytree of real arrays.

    Returns:
        The family of z, with the params of `family`.
    """

    def sample(key: Key[Array, ""], params: Any) -> Any:
        return jax.tree.map(jnp.exp, family.sample(key, params))

    def log_density(params: Any, z: Any) -> Float[Array, ""]:
        leaves, tree = jax.tree.flatten(z)
        inside, logs = zip(*map(_log_of_positive, leaves), strict=True)
        jacobian = sum(jnp.sum(log_z) for log_z in logs)
        density = family.log_density(params, jax.tree.unflatten(tree, logs)) - jacobian
        return jnp.where(jnp.all(jnp.stack(inside)), density, -jnp.inf)

    return Family(sample, log_density)


def product(families: Mapping[str, Family]) -> Family:
    """The product of independent families by name.

    Args:
        families: the factors by name.

    Returns:
        The family whose params and z are dicts with the same names. Both of its functions raise ValueError if params
        have other names.
    """

    def checked(params: Mapping[str, Any]) -> Mapping[str, Any]:
        if set(params) != set(families):
            raise ValueError(f"params need the factors' names {sorted(families)}, got {sorted(params)}")
        return params

    def sample(key: Key[Array, ""], params: Mapping[str, Any]) -> dict[str, Any]:
        params, keys = checked(params), jax.random.split(key, len(families))
        return {name: families[name].sample(k, params[name]) for k, name in zip(keys, families, strict=True)}

    def log_density(params: Mapping[str, Any], z: Mapping[str, Any]) -> Float[Array, ""]:
        params = checked(params)
        return sum(family.log_density(params[name], z[name]) for name, family in families.items())

    return Family(sample, log_density)


def _same_shape(params: MeanFieldParams) -> tuple[Array, Array]:
    mean, log_std = map(jnp.asarray, params)
    if mean.shape != log_std.shape:
        raise ValueError(f"mean and log_std are both shaped as z, got {mean.shape} and {log_std.shape}")
    return mean, log_std


def _cholesky(params: FullGaussianParams) -> Float[Array, "d d"]:
    return jnp.tril(params.factor, -1) + jnp.diag(jnp.exp(jnp.diagonal(params.factor)))


def _log_of_positive(z: Float[Array, "*event"]) -> tuple[Array, Array]:
    """Whether all of z is positive, and log z with z ≤ 0 replaced by 1, so that gradients stay finite."""
    above = z > 0
    return jnp.all(above), jnp.log(jnp.where(above, z, 1))

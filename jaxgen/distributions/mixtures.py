"""Gaussian mixtures whose density and score are known in closed form, also after noising."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, Num

from jaxgen.core import PytreeDataclass, is_traced


class GaussianMixture(PytreeDataclass):
    """The `Distribution` p(x) = Σ_k w_k N(x; μ_k, Σ_k) over vectors, a pytree that works under jit, vmap and grad.

    Methods take x (..., d). Means and covariances may carry leading axes, as those of `perturbed` do, which broadcast
    against the leading axes of x. All arrays have their common dtype, or float32 if that is narrower.

    Args:
        weights: w (K,), positive numbers that sum to 1.
        means: μ (K, d).
        covariances: Σ (K, d, d), symmetric and positive definite.

    Raises:
        ValueError: if the shapes do not fit, or values are outside these ranges. Traced values are not checked.

    Example:
        The exact score network of noised data, under any Gaussian process:

            network = lambda x, t, cond: mixture.perturbed(process.alpha(t), process.sigma(t)).score(x)
            denoise = diffusion.denoiser(process, network, predicts="score")
    """

    weights: Num[ArrayLike, " k"]
    means: Num[ArrayLike, "*b k d"]
    covariances: Num[ArrayLike, "*b k d d"]

    def __post_init__(self):
        leaves = {name: jnp.asarray(leaf) for name, leaf in vars(self).items()}
        dtype = jnp.promote_types(jnp.result_type(*leaves.values()), jnp.float32)
        for name, leaf in leaves.items():
            object.__setattr__(self, name, leaf.astype(dtype))
        _check_shapes(self)
        if not is_traced(leaves):
            _check_values(*(np.asarray(a, np.float64) for a in (self.weights, self.means, self.covariances)))

    def sample(self, key: Key[Array, ""], shape: int | tuple[int, ...]) -> Float[Array, "n d"]:
        """Draw samples.

        Args:
            key: one key.
            shape: (n, d), or the number n alone.

        Returns:
            The samples (n, d).

        Raises:
            ValueError: as `sample_labelled` does.
        """
        return self.sample_labelled(key, shape)[0]

    def sample_labelled(
        self, key: Key[Array, ""], shape: int | tuple[int, ...]
    ) -> tuple[Float[Array, "n d"], Int[Array, " n"]]:
        """Draw samples, and return with them the component that each came from.

        Args:
            key: one key.
            shape: (n, d), or the number n alone.

        Returns:
            The samples (n, d), and their components in 0…K−1, (n,).

        Raises:
            ValueError: if shape has another d, or the mixture has leading axes. Draw from such under `jax.vmap`.
        """
        if self.means.ndim != 2:
            raise ValueError(f"means of shape {self.means.shape} hold many mixtures: draw under jax.vmap")
        n, *event = shape if isinstance(shape, tuple) else (shape, self.means.shape[-1])
        if event != [self.means.shape[-1]]:
            raise ValueError(f"this mixture draws samples of shape (n, {self.means.shape[-1]}), not {shape}")
        component_key, noise_key = jax.random.split(key)
        component = jax.random.categorical(component_key, jnp.log(self.weights), shape=(n,))
        eps = jax.random.normal(noise_key, (n, self.means.shape[-1]), self.means.dtype)
        factor = jnp.linalg.cholesky(self.covariances)[component]
        return self.means[component] + _product("nij,nj->ni", factor, eps), component

    def log_density(self, x: Float[Array, "... d"]) -> Float[Array, "..."]:
        """Evaluate log p(x) in nats.

        Args:
            x: points (..., d).

        Returns:
            The log-densities (...).
        """
        return jax.nn.logsumexp(self._log_joint(self._whitened(x)), axis=-1)

    def responsibilities(self, x: Float[Array, "... d"]) -> Float[Array, "... k"]:
        """The posterior of the component, p(k | x) = w_k N(x; μ_k, Σ_k)/p(x).

        Args:
            x: points (..., d).

        Returns:
            The probabilities (..., K), which sum to 1 over K.
        """
        return jax.nn.softmax(self._log_joint(self._whitened(x)), axis=-1)

    def score(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        """The score ∇ log p(x) = −Σ_k p(k | x) Σ_k⁻¹ (x − μ_k).

        Args:
            x: points (..., d).

        Returns:
            The scores (..., d).
        """
        inverse, whitened = self._whitened(x)
        return -self._average((inverse, whitened), _product("...kji,...kj->...ki", inverse, whitened))

    def perturbed(self, alpha: ArrayLike, sigma: ArrayLike) -> "GaussianMixture":
        """The distribution of alpha·x0 + sigma·eps, with means alpha μ_k and covariances alpha² Σ_k + sigma² I.

        Args:
            alpha: () for one mixture, or (B,) for one per example, whose `score` then takes x (B, d).
            sigma: like alpha. Where both are 0 the covariances are singular and the density is undefined.

        Returns:
            The mixture, whose means and covariances have the leading axes of alpha and sigma.
        """
        alpha, sigma = self._scales(alpha, sigma)
        noise = sigma[..., None, None, None] ** 2 * jnp.eye(self.means.shape[-1], dtype=self.means.dtype)
        covariances = alpha[..., None, None, None] ** 2 * self.covariances + noise
        leaves = self.weights, alpha[..., None, None] * self.means, covariances
        return jax.tree.unflatten(jax.tree.structure(self), leaves)  # without the checks, which need concrete values

    def posterior_mean(self, x: Float[Array, "... d"], alpha: ArrayLike, sigma: ArrayLike) -> Float[Array, "... d"]:
        """E[x0 | alpha·x0 + sigma·eps = x], the optimal prediction of x0: (..., d) -> (..., d).

        It equals (x + sigma² score)/alpha (Tweedie's formula; Efron 2011), but is exact also where alpha = 0: there it
        is the mean of the data.

        Args:
            x: noised points (..., d).
            alpha: as in `perturbed`.
            sigma: as in `perturbed`.

        Returns:
            The means (..., d).
        """
        noised = self.perturbed(alpha, sigma)
        alpha, _ = self._scales(alpha, sigma)
        inverse, whitened = noised._whitened(x)
        pull = _product("...kji,...kj->...ki", inverse, whitened)
        moved = _product("...kij,...kj->...ki", self.covariances, pull)
        return noised._average((inverse, whitened), self.means + alpha[..., None, None] * moved)

    def _scales(self, alpha: ArrayLike, sigma: ArrayLike) -> tuple[Array, Array]:
        return tuple(jnp.broadcast_arrays(*(jnp.asarray(scale, self.means.dtype) for scale in (alpha, sigma))))

    def _whitened(self, x: Float[Array, "... d"]) -> tuple[Float[Array, "... k d d"], Float[Array, "... k d"]]:
        """L_k⁻¹ and L_k⁻¹ (x − μ_k), where Σ_k = L_k L_kᵀ."""
        factor = jnp.linalg.cholesky(self.covariances)
        identity = jnp.broadcast_to(jnp.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
        inverse = jax.lax.linalg.triangular_solve(factor, identity, left_side=True, lower=True)
        return inverse, _product("...kij,...kj->...ki", inverse, x[..., None, :] - self.means)

    def _log_joint(self, whitened: tuple[Array, Array]) -> Float[Array, "... k"]:
        """log w_k N(x; μ_k, Σ_k)."""
        inverse, offset = whitened
        log_scale = jnp.sum(jnp.log(jnp.diagonal(inverse, axis1=-2, axis2=-1)), -1)
        dims = offset.shape[-1]
        return jnp.log(self.weights) + log_scale - 0.5 * (jnp.sum(offset**2, -1) + dims * math.log(2 * math.pi))

    def _average(self, whitened: tuple[Array, Array], values: Float[Array, "... k d"]) -> Float[Array, "... d"]:
        """Σ_k p(k | x) values_k."""
        return jnp.sum(jax.nn.softmax(self._log_joint(whitened), axis=-1)[..., None] * values, -2)


def _product(indices: str, matrix: Float[Array, "... d d"], vector: Float[Array, "... d"]) -> Float[Array, "... d"]:
    # at the default precision accelerators round the factors
    return jnp.einsum(indices, matrix, vector, precision=jax.lax.Precision.HIGHEST)


def _check_shapes(mixture: GaussianMixture) -> None:
    weights, means, covariances = mixture.weights.shape, mixture.means.shape, mixture.covariances.shape
    fits = len(means) >= 2 and weights == means[-2:-1] and covariances == (*means, means[-1]) and 0 not in means
    if not fits:
        raise ValueError(
            "a mixture of K components in d dimensions needs weights (K,), means (K, d) and covariances (K, d, d), "
            f"got {weights}, {means} and {covariances}"
        )


def _check_values(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> None:
    if not np.all(np.isfinite(means)):
        raise ValueError(f"means must be finite, got {means}")
    if not (np.all(weights > 0) and abs(weights.sum() - 1) < 1e-5):
        raise ValueError(f"weights must be positive and sum to 1, got {weights}: divide them by their sum")
    deviations = np.sqrt(np.abs(np.diagonal(covariances, axis1=-2, axis2=-1)))
    rounding = 1e-5 * deviations[..., :, None] * deviations[..., None, :]
    asymmetry = np.abs(covariances - np.swapaxes(covariances, -1, -2))
    if not (np.all(np.isfinite(covariances)) and np.all(asymmetry <= rounding)):
        raise ValueError(f"covariances must be finite and symmetric, got {covariances}")
    smallest = np.linalg.eigvalsh(covariances).min()
    if not smallest > 0:
        raise ValueError(f"covariances must be positive definite, got one with the eigenvalue {smallest}")


def random_mixture(seed: int) -> GaussianMixture:
    """Draw a mixture of two Gaussians in the plane from a seed.

    All quantities are uniform: the weight of the first component in [.2, .8], the distance of the means in [11, 14],
    the direction between them, their centre in [−2, 2]², the eigenvalues of the covariances in [.5, 2] and their axes.
    The density has two modes, and one under much noise. A seed gives the same mixture on every machine.

    Args:
        seed: a whole number ≥ 0.

    Returns:
        The mixture.

    Raises:
        ValueError: if the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"a seed must not be negative, got {seed}")
    draw = iter(np.random.default_rng(seed).random(11))

    def between(low: float, high: float) -> float:
        return low + (high - low) * next(draw)

    weight, distance, direction = between(0.2, 0.8), between(11.0, 14.0), between(0.0, 2 * np.pi)
    centre = np.array([between(-2.0, 2.0), between(-2.0, 2.0)])
    half = distance / 2 * np.array([np.cos(direction), np.sin(direction)])
    covariances = []
    for _ in range(2):
        eigenvalues, angle = np.array([between(0.5, 2.0), between(0.5, 2.0)]), between(0.0, np.pi)
        axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        covariances.append(axes * eigenvalues @ axes.T)
    return GaussianMixture(
        np.array([weight, 1 - weight]), np.stack([centre + half, centre - half]), np.stack(covariances)
    )


def song_ermon_mixture() -> GaussianMixture:
    """The mixture 0.8 N((5, 5), I) + 0.2 N((−5, −5), I) of Song & Ermon 2019, §3.2.2.

    Langevin dynamics from its exact score does not recover the weights.

    Returns:
        The mixture, of K = 2 components in d = 2 dimensions.
    """
    return GaussianMixture(np.array([0.8, 0.2]), np.array([[5.0, 5.0], [-5.0, -5.0]]), np.stack([np.eye(2)] * 2))

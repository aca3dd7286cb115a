"""The best Gaussian reverse kernels of a known mixture, which no training of a Gaussian chain can exceed."""

import jax
import jax.numpy as jnp

from jaxgen.core import noise
from jaxgen.diffusion import GaussianProcess, transition
from jaxgen.distributions import GaussianMixture
from jaxgen.samplers import Sampler


def reverse_moments(
    mixture: GaussianMixture, process: GaussianProcess, x: jax.Array, t: jax.Array, s: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The exact mean and covariance of q(x_s | x_t), which is itself a mixture of Gaussians.

    Args:
        mixture: the law of the data.
        process: the process.
        x: x_t (n, d).
        t: time () of x.
        s: earlier time ().

    Returns:
        The means (n, d) and covariances (n, d, d).
    """
    identity = jnp.eye(x.shape[-1])
    alpha, variance = transition(process, s, t)
    means = process.alpha(s) * mixture.means
    before = process.alpha(s) ** 2 * mixture.covariances + process.sigma(s) ** 2 * identity
    gain = alpha * before @ jnp.linalg.inv(alpha**2 * before + variance * identity)  # (k, d, d)
    component = means + jnp.einsum("kij,nkj->nki", gain, x[:, None] - alpha * means)
    within = before - alpha * gain @ before
    weights = mixture.perturbed(process.alpha(t), process.sigma(t)).responsibilities(x)
    mean = jnp.einsum("nk,nki->ni", weights, component)
    apart = component - mean[:, None]
    between = jnp.einsum("nk,nki,nkj->nij", weights, apart, apart)
    return mean, jnp.einsum("nk,kij->nij", weights, within) + between


def best_gaussian(mixture: GaussianMixture) -> Sampler:
    """Ancestral sampling by the Gaussian kernel of the exact mean and covariance, the nearest to q(x_s | x_t) in KL.

    It needs no denoiser.

    Args:
        mixture: the law of the data.

    Returns:
        The sampler, without history.
    """

    def step(key, process, denoise, t, s, x, carry):
        mean, covariance = reverse_moments(mixture, process, x, t, s)
        z = noise(key, x.shape[1:], x.dtype)
        return mean + jnp.einsum("nij,nj->ni", jnp.linalg.cholesky(covariance), z), carry

    return Sampler(step)

"""Probabilistic PCA: a VAE of which likelihood, posterior and bound are known, here in float64 of numpy and scipy."""

import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

from jaxgen.distributions import Gaussian, likelihoods
from jaxgen.vae import VAE


class PPCA:
    """z ~ N(0, I), x = W z + μ + σε. W's columns are orthogonal, so that the posterior is a diagonal Gaussian."""

    def __init__(self, dims=4, latents=2, noise=0.6, seed=0):
        rng = np.random.default_rng(seed)
        directions = np.linalg.qr(rng.standard_normal((dims, latents)))[0]
        self.scales = np.linspace(1.5, 0.7, latents)
        self.weight = directions * self.scales
        self.mean = rng.standard_normal(dims)
        self.noise = noise
        self.law = multivariate_normal(self.mean, self.weight @ self.weight.T + noise**2 * np.eye(dims))

    def sample(self, n, seed=1):
        """Data (n, dims)."""
        return self.law.rvs(n, random_state=seed).reshape(n, -1)

    def log_p(self, x):
        """log p(x), (n,)."""
        return np.atleast_1d(self.law.logpdf(np.asarray(x, np.float64)))

    def posterior(self, x, beta=1.0):
        """Mean (n, latents) and std (latents,) of p(z|x), and of p(z) p(x|z)^{1/β} scaled to 1."""
        variance = beta * self.noise**2
        mean = (np.asarray(x, np.float64) - self.mean) @ self.weight / (self.scales**2 + variance)
        return mean, np.sqrt(variance / (self.scales**2 + variance))

    def gap(self, x, mean, std):
        """KL(N(mean, std²) ‖ p(z|x)) of diagonal Gaussians, (n,)."""
        target, spread = self.posterior(x)
        std = np.broadcast_to(std, mean.shape)
        ratio = (std / spread) ** 2
        return 0.5 * (ratio - 1 - np.log(ratio) + ((mean - target) / spread) ** 2).sum(-1)

    def encode(self, x, shift=0.0, stretch=1.0, beta=1.0):
        """The exact posterior, or one moved by `shift` and widened by `stretch`."""
        variance = beta * self.noise**2
        mean = (x - self.mean) @ self.weight / (self.scales**2 + variance) + shift
        std = np.sqrt(variance / (self.scales**2 + variance)) * stretch
        return Gaussian(mean, std if isinstance(x, np.ndarray) else jnp.asarray(std, mean.dtype))

    def decode(self, z):
        """p(x|z)."""
        mean = z @ self.weight.T + self.mean
        return Gaussian(mean, jnp.asarray(self.noise, mean.dtype))

    def model(self, **encoder):
        """The model as a VAE, its encoder moved as `encode` has it."""
        return VAE(lambda x: self.encode(x, **encoder), self.decode, likelihoods.gaussian())

"""Exact answers that the tests hold the library against."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.diffusion import (
    Prediction,
    cosine,
    cosine_betas,
    edm,
    from_betas,
    linear_betas,
    rectified_flow,
    sub_vp,
    ve,
    vp,
    zero_terminal_snr,
)

CONTINUOUS = {
    "vp": vp(),
    "sub_vp": sub_vp(),
    "ve": ve(),
    "cosine": cosine(),
    "edm": edm(),
    "rectified_flow": rectified_flow(),
}
DISCRETE = {
    "linear": from_betas(linear_betas(1000)),
    "cosine_table": from_betas(cosine_betas(50)),
    "zero_snr": from_betas(zero_terminal_snr(linear_betas(200))),
}
PROCESSES = CONTINUOUS | DISCRETE
OF_EACH_KIND = {"vp", "ve", "rectified_flow", "zero_snr"}


def slow(*case):
    """A parameter whose test is slow."""
    return pytest.param(*case, marks=pytest.mark.slow)


def nightly(names, cases, **options):
    """Parametrises a test that is slow in every case."""
    return lambda test: pytest.mark.slow(pytest.mark.parametrize(names, list(cases), **options)(test))


def siblings_slow(cases, *daily):
    """Cases as parameters: the daily ones are in every run, their siblings are slow.

    Without `daily` a case is the name of a process, or a tuple with one, and a process of each kind is daily.
    """
    cases = [case if isinstance(case, tuple) else (case,) for case in cases]
    if daily:
        return [pytest.param(*case) if case[0] in daily else slow(*case) for case in cases]
    sibling = PROCESSES.keys() - OF_EACH_KIND
    return [pytest.param(*case) if sibling.isdisjoint(case) else slow(*case) for case in cases]


def snap(process, t):
    """t itself, or the nearest step of a discrete process."""
    return t if process.steps is None else np.round(np.asarray(t) * process.steps) / process.steps


def gaussian_denoiser(process, mean, std):
    """The exact denoiser of data N(mean, std² I): E[x0 | x_t] and E[eps | x_t]."""

    def denoise(x, t, cond=None):
        t = jnp.broadcast_to(t, x.shape[:1]).reshape((-1,) + (1,) * (x.ndim - 1))
        alpha, sigma = process.alpha(t), process.sigma(t)
        whitened = (x - alpha * mean) / (alpha**2 * std**2 + sigma**2)
        return Prediction(mean + alpha * std**2 * whitened, sigma * whitened)

    return denoise


class Mixture:
    """A one-dimensional Gaussian mixture, with its exact density, score and denoiser under any process."""

    weights = np.array([0.3, 0.7])
    means = np.array([-1.0, 0.8])
    stds = np.array([0.3, 0.2])

    def sample(self, key, n):
        """Draws (n, 1)."""
        which, noise = jax.random.split(key)
        component = jax.random.choice(which, 2, (n,), p=self.weights)
        return (
            jnp.asarray(self.means)[component] + jnp.asarray(self.stds)[component] * jax.random.normal(noise, (n,))
        )[:, None]

    def log_joint(self, process, x, t):
        """log of weight × density of each component of q_t at x (..., 1) -> (..., 2)."""
        mean = process.alpha(t) * self.means
        variance = (process.alpha(t) * self.stds) ** 2 + process.variance(t)
        return np.log(self.weights) - 0.5 * ((x - mean) ** 2 / variance + jnp.log(2 * jnp.pi * variance))

    def log_density(self, process, x, t):
        """log q_t(x) of x (..., 1) -> (...)."""
        return jax.nn.logsumexp(self.log_joint(process, x, t), axis=-1)

    def distribution(self, process, x, t):
        """P(x_t ≤ x), of x (...)."""
        mean = process.alpha(t) * self.means
        std = jnp.sqrt((process.alpha(t) * self.stds) ** 2 + process.variance(t))
        return jnp.sum(self.weights * jax.scipy.stats.norm.cdf(x[..., None], mean, std), -1)

    def flow(self, process, x, t, s):
        """Where the probability flow takes x (...) from t to s: in one dimension it keeps every quantile."""
        level = self.distribution(process, x, t)

        def halve(_, bracket):
            low, high = bracket
            middle = (low + high) / 2
            below = self.distribution(process, middle, s) < level
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        return jax.lax.fori_loop(0, 80, halve, (jnp.full_like(x, -500), jnp.full_like(x, 500)))[0]

    def denoiser(self, process):
        """E[x0 | x_t] and E[eps | x_t], as responsibilities times each component's own linear answer."""

        def denoise(x, t, cond=None):
            t = jnp.broadcast_to(t, x.shape[:1])[:, None]
            alpha, variance = process.alpha(t), process.variance(t)
            share = jax.nn.softmax(self.log_joint(process, x, t), axis=-1)
            whitened = (x - alpha * self.means) / ((alpha * self.stds) ** 2 + variance)
            x0 = jnp.sum(share * (self.means + alpha * self.stds**2 * whitened), -1, keepdims=True)
            return Prediction(x0, jnp.sqrt(variance) * jnp.sum(share * whitened, -1, keepdims=True))

        return denoise

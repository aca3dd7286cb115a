"""The exact law of a sampler on Gaussian data of several dimensions, by its Jacobians; and Gaussians conditioned."""

from unittest import mock

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from jaxgen.diffusion import Prediction


def law(sampler, process, denoise, times, mean, covariance, draws=2):
    """Mean and covariance of x (d,) after the steps of a grid, begun at N(mean, covariance); no randomness.

    As in `affine_law`, but for vectors: a step is y -> A y + b + C z in the state and carry y and at most `draws`
    normal draws, replaced one by one by rows of z. Loops are unrolled in Python, so that each turn has its own row.
    """
    d = len(mean)
    keys = jax.random.split(jax.random.key(0), 1)
    start = jnp.asarray(mean, float)[None]
    first, restore = jax.flatten_util.ravel_pytree((start, sampler.init(start)))

    def step(state, z, t, s):
        rows = iter(z)
        with (
            mock.patch("jax.random.normal", lambda key, shape, dtype: next(rows).reshape(shape).astype(dtype)),
            mock.patch("jax.lax.fori_loop", unrolled),
        ):
            after = sampler.step(keys, process, denoise, t, s, *restore(state))
        return jax.flatten_util.ravel_pytree(after)[0]

    def body(moments, step_times):
        state, covariance = moments
        none = jnp.zeros((draws, d))
        a, c = jax.jacfwd(step, (0, 1))(state, none, *step_times)
        c = c.reshape(len(state), -1)
        return (step(state, none, *step_times), a @ covariance @ a.T + c @ c.T), None

    times = jnp.asarray(times)
    whole = jnp.zeros((first.size, first.size)).at[:d, :d].set(covariance)
    (state, whole), _ = jax.jit(lambda moments: jax.lax.scan(body, moments, (times[:-1], times[1:])))((first, whole))
    return np.asarray(state[:d]), np.asarray(whole[:d, :d])


def unrolled(low, high, body, state):
    for i in range(low, high):
        state = body(i, state)
    return state


def correlated(d, seed=0):
    """A mean (d,) and a covariance (d, d) whose entries are all correlated, of variances about 1."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d)) / np.sqrt(d)
    return rng.normal(size=d), root @ root.T + 0.1 * np.eye(d)


def conditional(mean, covariance, a, y, noise_std=0.0):
    """Mean and covariance of x ~ N(mean, covariance) given y = A x + N(0, noise_std² I), A (k, d)."""
    gain = covariance @ a.T @ np.linalg.inv(a @ covariance @ a.T + noise_std**2 * np.eye(len(a)))
    return mean + gain @ (y - a @ mean), covariance - gain @ a @ covariance


def exact(process, mean, covariance):
    """The exact denoiser of data N(mean, covariance), for events of any shape with that many entries."""
    mean, covariance = jnp.asarray(mean), jnp.asarray(covariance)
    eye = jnp.eye(len(mean))

    def denoise(x, t, cond=None):
        t = jnp.broadcast_to(t, x.shape[:1])[:, None]
        alpha, sigma = process.alpha(t), process.sigma(t)
        total = alpha[..., None] ** 2 * covariance + sigma[..., None] ** 2 * eye
        whitened = jnp.linalg.solve(total, (x.reshape(len(x), -1) - alpha * mean)[..., None])[..., 0]
        x0, eps = mean + alpha * (whitened @ covariance), sigma * whitened
        return Prediction(x0.reshape(x.shape), eps.reshape(x.shape))

    return denoise


def matrix(operator, shape):
    """An operator on events of this shape as a matrix (k, d)."""
    size = int(np.prod(shape))
    return np.asarray(operator(jnp.eye(size).reshape(size, *shape))).reshape(size, -1).T

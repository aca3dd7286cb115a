"""Claims of S1 on Gaussian mixtures: the analytic score is the gradient of the log-density; ascent ends in modes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import multivariate_normal
from oracles import CONTINUOUS, nightly

from jaxgen.diffusion import denoiser, edm
from jaxgen.distributions import GaussianMixture, random_mixture, song_ermon_mixture
from jaxgen.samplers import langevin, sample

MIXTURES = {
    "seminar": song_ermon_mixture,
    "student": lambda: random_mixture(810199123),
    "three": lambda: GaussianMixture(
        np.array([0.5, 0.2, 0.3]),
        np.array([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5], [-1.0, -1.0, 1.0]]),
        np.stack([factor @ factor.T + 0.1 * np.eye(3) for factor in np.random.default_rng(0).normal(size=(3, 3, 3))]),
    ),
}
SCALES = {f"{name}_{t}": (process, t) for name, process in CONTINUOUS.items() for t in (0.05, 0.5, 0.95)}


def log_density(mixture, x, alpha, sigma):
    """log Σ w N(x; alpha μ, alpha² Σ + sigma² I) in JAX's own words."""
    noise = sigma**2 * jnp.eye(x.shape[-1])
    parts = [
        jnp.log(w) + multivariate_normal.logpdf(x, alpha * m, alpha**2 * c + noise)
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    ]
    return jax.nn.logsumexp(jnp.stack(parts), axis=0)


def points(mixture):
    """Draws of the mixture, the places between them, and some far away."""
    x = mixture.sample(jax.random.key(0), 40)
    return jnp.concatenate([x, (x + x[::-1]) / 2, 10 * x])


@nightly("name", MIXTURES)
def test_c1_12_the_analytic_score_is_autodiffs(name):
    """Of the data, and under the noise of σ = 1, 3 and 7 of the homework."""
    with jax.enable_x64(True):
        mixture = MIXTURES[name]()
        x = points(mixture)
        gradient = jax.jit(jax.vmap(jax.grad(lambda x, sigma: log_density(mixture, x, 1.0, sigma)), (0, None)))
        np.testing.assert_allclose(mixture.score(x), gradient(x, 0.0), rtol=1e-9, atol=1e-11)
        for sigma in (1.0, 3.0, 7.0):
            exact = gradient(x, sigma)
            np.testing.assert_allclose(mixture.perturbed(1, sigma).score(x), exact, rtol=1e-9, atol=1e-11)
            assert np.abs(mixture.score(x) - exact).max() > 0.1  # the noise tells


@nightly("name", SCALES)
def test_c1_12_under_every_process(name):
    process, t = SCALES[name]
    with jax.enable_x64(True):
        mixture = MIXTURES["student"]()
        alpha, sigma = process.alpha(jnp.float64(t)), process.sigma(jnp.float64(t))
        x = mixture.perturbed(alpha, sigma).sample(jax.random.key(1), 60)
        gradient = jax.jit(jax.vmap(jax.grad(lambda x: log_density(mixture, x, alpha, sigma))))(x)
        np.testing.assert_allclose(mixture.perturbed(alpha, sigma).score(x), gradient, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_c1_14_c2_7a_without_noise_all_chains_end_in_the_modes():
    """Ascent from anywhere ends at a zero of the score where the density curves down; with noise it does not."""
    mixture, n = random_mixture(3), 200
    process = edm(1.0)
    denoise = denoiser(process, lambda x, t, cond: mixture.score(x), predicts="score")
    start = 12 * jax.random.normal(jax.random.key(0), (n, 2))
    keys = jax.random.split(jax.random.key(1), n)

    @partial(jax.jit, static_argnums=0)
    def chains(noise_scale):
        moves = langevin(0.1, steps=2000, noise_scale=noise_scale)
        return sample(keys, process, denoise, moves, np.array([1.0, 0.5]), (2,), start=start)

    still, moving = chains(0.0), chains(1.0)
    np.testing.assert_allclose(mixture.score(still), 0, atol=1e-3)
    curvature = jax.vmap(jax.hessian(lambda x: mixture.log_density(x[None])[0]))(still)
    assert np.all(np.linalg.eigvalsh(curvature) < 0)
    modes = np.unique(np.round(np.asarray(still), 2), axis=0)
    assert len(modes) <= 8  # two, up to rounding at the second decimal
    distance = np.linalg.norm(np.asarray(still)[:, None] - np.asarray(mixture.means), axis=-1).min(-1)
    assert distance.max() < 0.05
    nearest = np.linalg.norm(np.asarray(still)[:, None] - np.asarray(mixture.means), axis=-1).argmin(-1)
    assert set(nearest) == {0, 1}  # both are reached
    # what has noise spreads over the modes' own width
    spread = np.linalg.norm(np.asarray(moving)[:, None] - np.asarray(mixture.means), axis=-1).min(-1)
    assert np.sqrt(np.mean(spread**2)) > 20 * distance.max()

"""Claims of S2 on variational inference, as variational autoencoders meet them."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly
from ppca import PPCA

from jaxgen.distributions import Gaussian, gaussian_kl
from jaxgen.vae import elbo

KEY = jax.random.key(0)
LAW = PPCA()
X = jnp.asarray(LAW.sample(6), jnp.float32)
SHAPES = [{}, {"shift": 0.4}, {"stretch": 0.6}, {"shift": -0.3, "stretch": 1.5}]


@nightly("shape", SHAPES)
def test_c2_1_log_p_is_the_elbo_plus_the_kl_to_the_posterior(shape):
    """log p(x) = ELBO(q) + KL(q ‖ p(z|x)) for any q, and so the ELBO is log p(x) only at the posterior."""
    n = 20_000
    for x in X[:2]:
        q = LAW.encode(np.float64(x)[None], **shape)
        gap = LAW.gap(np.float64(x)[None], np.float64(q.mean), np.float64(q.std))[0]
        values = np.asarray(elbo(KEY, LAW.model(**shape), jnp.broadcast_to(x, (n, len(x)))).value, np.float64)
        assert abs(values.mean() + gap - LAW.log_p(x[None])[0]) < 4 * values.std() / np.sqrt(n)
        assert (gap > 0.05) == bool(shape)
        # the library's own KL of two Gaussians is that gap
        mean, std = LAW.posterior(np.float64(x)[None])
        posterior = Gaussian(jnp.asarray(mean), jnp.asarray(std))
        np.testing.assert_allclose(gaussian_kl(Gaussian(*map(jnp.asarray, q)), posterior)[0], gap, rtol=1e-4, atol=1e-6)


def test_c2_3_the_mini_batch_estimate_of_the_data_sets_elbo_is_unbiased():
    """The mean over all batches of B of N/B Σ ELBO is the sum over the data set: nothing depends on the neighbours."""
    keys, model, size = jax.random.split(KEY, 6), LAW.model(shift=0.3), 2
    value = jax.jit(lambda keys, x: elbo(keys, model, x).value)
    whole = np.asarray(value(keys, X)).sum()
    estimates = [
        6 / size * np.asarray(value(keys[jnp.array(batch)], X[jnp.array(batch)])).sum()
        for batch in combinations(range(6), size)
    ]
    assert len(estimates) == 15
    np.testing.assert_allclose(np.mean(estimates), whole, rtol=1e-6)
    assert np.std(estimates) > 0.1 * abs(whole) / np.sqrt(15)  # single batches are far off


@pytest.mark.slow
def test_c2_3_the_amortisation_gap_is_not_negative_and_vanishes_for_an_encoder_that_is_exact():
    """Free Gaussians for each x reach the posterior; an encoder that treats all alike stays below by KL(q ‖ p(z|x))."""
    mean, std = LAW.posterior(np.float64(X))
    free = LAW.model()._replace(encode=lambda x: Gaussian(jnp.asarray(mean, x.dtype), jnp.asarray(std, x.dtype)))
    best = np.asarray(elbo(KEY, free, X, kl="monte_carlo").value)
    np.testing.assert_allclose(best, LAW.log_p(X), rtol=2e-5)  # every draw of it, and so without an error
    for shape in SHAPES:
        n = 5000
        amortised = elbo(KEY, LAW.model(**shape), jnp.repeat(X, n, axis=0), kl="monte_carlo").value
        amortised = np.asarray(amortised, np.float64).reshape(6, n)
        error = amortised.std(1) / np.sqrt(n)
        gap = best - amortised.mean(1)
        assert np.all(gap > -4 * error - 1e-4)
        exact = LAW.gap(
            np.float64(X), np.float64(LAW.encode(np.float64(X), **shape).mean), std * shape.get("stretch", 1)
        )
        assert np.all(np.abs(gap - exact) < 4 * error + 1e-4)
        assert np.all(exact > 0.05) == bool(shape)


def test_c2_4_the_kl_of_an_encoders_gaussian_is_its_closed_form():
    """KL(N(μ, σ²) ‖ N(0, I)) = ½ Σ (μ² + σ² − 1 − log σ²), and what Monte Carlo makes of log q − log p."""
    model, n = LAW.model(shift=0.4, stretch=1.3), 20_000
    q = LAW.encode(np.float64(X[:1]), shift=0.4, stretch=1.3)
    mean, std = np.float64(q.mean), np.float64(q.std)
    exact = 0.5 * (mean**2 + std**2 - 1 - np.log(std**2)).sum()
    np.testing.assert_allclose(elbo(KEY, model, X[:1]).kl[0], exact, rtol=1e-5)
    drawn = np.asarray(elbo(KEY, model, jnp.broadcast_to(X[0], (n, 4)), kl="monte_carlo").kl, np.float64)
    assert abs(drawn.mean() - exact) < 4 * drawn.std() / np.sqrt(n)


def test_c2_4_the_gradient_of_a_draw_is_unbiased():
    """∇_{μ,σ} E f(z) for f = z³ and z ~ N(μ, σ²): E z³ = μ³ + 3μσ², so it is (3μ² + 3σ², 6μσ)."""
    mean, std, n = 0.6, 0.5, 200_000

    def value(params, key):
        return Gaussian(params[:1, None], params[1]).sample(key)[0, 0] ** 3

    gradients = np.asarray(jax.vmap(jax.grad(value), (None, 0))(jnp.array([mean, std]), jax.random.split(KEY, n)))
    exact = np.array([3 * mean**2 + 3 * std**2, 6 * mean * std])
    assert np.all(np.abs(gradients.mean(0) - exact) < 4 * gradients.std(0) / np.sqrt(n))

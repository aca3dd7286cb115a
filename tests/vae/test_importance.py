"""The importance-weighted bound against log p(x) of probabilistic PCA and against quadrature."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly, slow
from ppca import PPCA
from scipy.stats import norm

from jaxgen.distributions import Gaussian, likelihoods
from jaxgen.vae import VAE, elbo, importance_weighted_bound, negative_log_likelihood

KEY = jax.random.key(0)
LAW = PPCA()
X = jnp.asarray(LAW.sample(6), jnp.float32)


@pytest.mark.parametrize(("samples", "block"), [slow(1, None), slow(7, None), (7, 3), slow(50, 8)])
def test_at_the_exact_posterior_it_is_log_p_for_any_number_of_samples(samples, block):
    found = importance_weighted_bound(KEY, LAW.model(), X, samples=samples, block=block)
    np.testing.assert_allclose(found, LAW.log_p(X), rtol=2e-5)


def test_of_two_samples_it_is_the_quadrature_of_its_definition():
    """E log ½(w₁ + w₂) on a grid of (z₁, z₂), in one dimension."""
    weight, noise, x, m, s = 1.2, 0.8, 0.7, 0.1, 1.1
    model = VAE(
        lambda x: Gaussian(jnp.full((len(x), 1), m), jnp.asarray(s, x.dtype)),
        lambda z: Gaussian(weight * z, jnp.asarray(noise, z.dtype)),
        likelihoods.gaussian(),
    )
    z = np.linspace(m - 8 * s, m + 8 * s, 801)
    log_w = norm.logpdf(x, weight * z, noise) + norm.logpdf(z) - norm.logpdf(z, m, s)
    q = norm.pdf(z, m, s) * (z[1] - z[0])
    exact = q @ (np.logaddexp(log_w[:, None], log_w) - np.log(2)) @ q
    batch = jnp.full((40_000, 1), x)
    found = np.asarray(importance_weighted_bound(KEY, model, batch, samples=2))
    assert abs(found.mean() - exact) < 4 * found.std() / np.sqrt(len(found))
    # and the bound of one sample is told apart
    assert abs(q @ log_w - exact) > 8 * found.std() / np.sqrt(len(found))


@pytest.mark.slow
def test_it_does_not_fall_with_the_samples_and_tends_to_log_p():
    model, n = LAW.model(shift=0.5, stretch=1.4), 4000
    batch = jnp.broadcast_to(X[0], (n, X.shape[1]))
    counts = (1, 2, 5, 20)
    bounds = [np.asarray(importance_weighted_bound(KEY, model, batch, samples=k)) for k in counts]
    log_p = LAW.log_p(X[:1])[0]
    for fewer, more in pairwise(bounds):
        rise = more - fewer
        assert rise.mean() > 3 * rise.std() / np.sqrt(n)
    assert bounds[-1].mean() < log_p
    # the gap of k samples is Var(w)/(2k E[w]²) to first order
    weights = np.exp(np.asarray(bounds[0], np.float64) - log_p)
    gaps = log_p - np.array([bound.mean() for bound in bounds])
    np.testing.assert_allclose(gaps[-1], weights.var() / (2 * counts[-1]), rtol=0.3)


def test_the_likelihood_of_many_samples_is_the_exact_one():
    with jax.enable_x64(True):
        x = jnp.asarray(LAW.sample(6))
        model = LAW.model(shift=0.3, stretch=1.2)
        found = negative_log_likelihood(jax.random.key(0), model, x, samples=20_000, block=1000)
        one = np.asarray(importance_weighted_bound(jax.random.key(1), model, jnp.repeat(x, 2000, 0), samples=1))
    weights = np.exp(one.reshape(6, 2000) - LAW.log_p(x)[:, None])
    spread = weights.std(1) / np.sqrt(20_000)
    assert np.all(np.abs(np.asarray(found) + LAW.log_p(x)) < 4 * spread + weights.var(1) / 20_000)
    assert np.all(spread < 0.01)


@pytest.mark.slow
def test_blocks_change_nothing_and_one_sample_is_the_elbo():
    model = LAW.model(shift=0.5)
    whole = importance_weighted_bound(KEY, model, X, samples=50)
    for block in (7, 64):
        found = negative_log_likelihood(KEY, model, X, samples=50, block=block)
        np.testing.assert_allclose(found, -whole, rtol=1e-5)
    one = importance_weighted_bound(KEY, model, X, samples=1)
    np.testing.assert_allclose(one, elbo(KEY, model, X, kl="monte_carlo").value, rtol=1e-5)
    assert np.all(np.abs(whole - one) > 1e-5)


@pytest.mark.slow
def test_gradient_is_that_of_the_weights_normalised():
    """∇ log ½Σw = Σ w̃_i ∇log w_i, with the same draws; blocks keep it."""
    keys, model = [jax.random.fold_in(KEY, i) for i in range(4)], lambda shift: LAW.model(shift=shift)

    def log_weights(shift):
        q = model(shift).encode(X)
        z = [q.sample(key) for key in keys]
        return jnp.stack(
            [LAW.decode(z).log_density(X) - 0.5 * (z**2 + jnp.log(2 * jnp.pi)).sum(-1) - q.log_density(z) for z in z]
        )

    values, slopes = jax.jit(jax.jvp, static_argnums=0)(log_weights, (0.4,), (1.0,))
    expected = (np.exp(values - jax.nn.logsumexp(values, axis=0)) * slopes).sum(0)
    for block in (None, 3):
        bound = lambda shift, block=block: importance_weighted_bound(KEY, model(shift), X, samples=4, block=block)
        found = jax.jit(jax.vmap(jax.grad(lambda s, i, bound=bound: bound(s)[i]), (None, 0)))(0.4, jnp.arange(len(X)))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@nightly("gradient", [False, True])
def test_memory_does_not_grow_with_the_samples(gradient):
    def run(samples, shift):
        bound = lambda shift: importance_weighted_bound(KEY, LAW.model(shift=shift), X, samples=samples, block=25).sum()
        compiled = jax.jit(jax.grad(bound) if gradient else bound).lower(shift).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    few, many = run(100, 0.3), run(2000, 0.3)
    # a gradient keeps the running total at every block, (B,), and nothing of a block's draws
    allowed = 4 * len(X) * (2000 - 100) / 25 * 4 if gradient else 256
    assert many - few <= allowed
    assert run(2000, 0.3) < 4 * len(X) * 2000 * 4  # which all draws of x at once would take


def test_refusals(unchecked):
    for samples, block in ((0, None), (0, 5), (5, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            importance_weighted_bound(KEY, LAW.model(), X, samples=samples, block=block)

"""Claims of S4 on autoencoders: the bound, β, vector quantisation, the VampPrior and sparse codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import slow
from ppca import PPCA
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.linear_model import Lasso

from jaxgen.distributions import Gaussian, diagonal_mixture, likelihoods, standard_normal, vamp_prior
from jaxgen.vae import VAE, elbo, nearest_code, quantise, sparse, vae_loss

KEY = jax.random.key(0)


def test_c4_7_a_gaussian_decoder_is_the_square_error():
    """−log N(x; m, σ²I) = ‖x − m‖²/2σ² + (D/2) log 2πσ², so at fixed σ its gradient is that of the error over 2σ²."""
    (x, mean), std = jax.random.normal(KEY, (2, 5, 3, 4)), 0.4
    log_p = lambda mean: likelihoods.gaussian()(x, Gaussian(mean, jnp.asarray(std)))
    square = ((np.float64(x) - np.float64(mean)) ** 2).reshape(5, -1).sum(-1)
    np.testing.assert_allclose(-log_p(mean), square / (2 * std**2) + 6 * np.log(2 * np.pi * std**2), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lambda m: log_p(m).sum())(mean), (x - mean) / std**2, rtol=1e-5)


@pytest.mark.slow
def test_c4_8_the_reparameterised_gradient_of_the_elbo_is_its_gradient():
    """Of E_q log p(x|z) − KL in mean and log-std, at a point of probabilistic PCA, in closed form."""
    law, n = PPCA(dims=3, latents=1), 20_000
    x = law.sample(1)[0]
    start = np.array([0.3, -0.2])

    def values(params, keys):
        q = Gaussian(jnp.full((n, 1), params[0]), jnp.exp(params[1]))
        model = VAE(lambda x: q, law.decode, likelihoods.gaussian())
        return elbo(keys, model, jnp.broadcast_to(jnp.asarray(x, jnp.float32), (n, 3))).value

    keys = jax.random.split(KEY, n)
    slopes = [
        np.asarray(jax.jvp(lambda p: values(p, keys), (jnp.asarray(start, jnp.float32),), (axis,))[1], np.float64)
        for axis in jnp.eye(2)
    ]
    weight, noise, (m, s) = law.weight[:, 0], law.noise**2, (start[0], np.exp(start[1]))
    by_mean = weight @ (x - law.mean - weight * m) / noise - m
    by_log_std = -(weight @ weight) * s**2 / noise - s**2 + 1
    for slope, exact in zip(slopes, (by_mean, by_log_std), strict=True):
        assert abs(slope.mean() - exact) < 4 * slope.std() / np.sqrt(n)


BETAS = (1.0, 4.0, 16.0)


@pytest.mark.slow
def test_c4_9_a_larger_beta_lowers_the_kl_at_its_optimum():
    """The likelihood given, the best q of β is ∝ p(z) p(x|z)^{1/β}: its gradient vanishes, and its KL falls with β."""
    law = PPCA()
    x = jnp.asarray(np.repeat(law.sample(8), 500, axis=0), jnp.float32)

    def slopes(beta, optimum):
        """d loss/d(shift, log-stretch) of every example, about the best encoder of `optimum`."""

        def losses(params):
            encode = lambda x: law.encode(x, shift=params[0], stretch=jnp.exp(params[1]), beta=optimum)
            return vae_loss(KEY, law.model()._replace(encode=encode), x, beta=beta)[0]

        return [np.asarray(jax.jvp(losses, (jnp.zeros(2),), (axis,))[1], np.float64) for axis in jnp.eye(2)]

    kl = []
    for beta in BETAS:
        for slope in slopes(beta, beta):
            assert abs(slope.mean()) < 4 * slope.std() / np.sqrt(len(slope))
        other = slopes(beta, BETAS[0] if beta > 1 else BETAS[1])[1]
        assert abs(other.mean()) > 8 * other.std() / np.sqrt(len(other))
        found = elbo(KEY, law.model(beta=beta), x).kl
        mean, std = law.posterior(np.float64(x), beta)
        np.testing.assert_allclose(found, 0.5 * (mean**2 + std**2 - 1 - np.log(std**2)).sum(-1), rtol=1e-4, atol=1e-5)
        kl.append(np.asarray(found).mean())
    assert kl[0] > kl[1] > kl[2] > 0


@pytest.mark.slow
def test_c4_10_the_gradient_passes_straight_through():
    """What the likelihood asks of a code is asked of the encoding, unchanged, though the lookup itself is flat."""
    z, codes = jax.random.normal(KEY, (4, 3)), jax.random.normal(jax.random.key(1), (6, 3))
    jacobian = jax.jacobian(lambda z: quantise(z, codes).codes)(z)
    np.testing.assert_array_equal(jacobian, np.eye(12).reshape(4, 3, 4, 3))
    asked = jax.grad(lambda e: jnp.sin(e).sum())(quantise(z, codes).codes)
    np.testing.assert_array_equal(jax.grad(lambda z: jnp.sin(quantise(z, codes).codes).sum())(z), asked)
    np.testing.assert_array_equal(jax.jacobian(lambda z: codes[nearest_code(z, codes)])(z), np.zeros((4, 3, 4, 3)))


# two kinds of data, coded as N(±2, .5²): far from what N(0, 1) expects
CENTRES, WIDTH, KINDS = np.array([-2.0, 2.0]), 0.5, jnp.array([[0.0], [1.0]])
GRID = np.linspace(-8, 8, 40_001)


def two_kinds(x):
    return Gaussian(4 * x - 2, jnp.asarray(WIDTH, x.dtype))


def expected_kl(log_prior):
    """E_x KL(q(z|x) ‖ p) over both kinds, by quadrature."""
    log_q = norm.logpdf(GRID, CENTRES[:, None], WIDTH)
    return (np.exp(log_q) * (log_q - log_prior)).sum(-1).mean() * (GRID[1] - GRID[0])


@pytest.mark.slow
def test_c4_11_the_vamp_prior_lowers_the_kl():
    """By KL(q(z) ‖ N(0, 1)) of the aggregated posterior q(z), which the prior of both pseudo-inputs is."""
    aggregated = logsumexp(norm.logpdf(GRID, CENTRES[:, None], WIDTH), axis=0) - np.log(2)
    vamp = vamp_prior(two_kinds, KINDS)
    np.testing.assert_allclose(
        vamp.log_density(jnp.asarray(GRID[::100, None], jnp.float32)), aggregated[::100], rtol=1e-4
    )

    x = jnp.tile(KINDS, (20_000, 1))
    found = {}
    for name, prior, log_prior in (("normal", standard_normal(), norm.logpdf(GRID)), ("vamp", vamp, aggregated)):
        model = VAE(two_kinds, lambda z: z, likelihoods.bernoulli(), prior)
        drawn = np.asarray(elbo(KEY, model, x, kl="monte_carlo").kl, np.float64)
        assert abs(drawn.mean() - expected_kl(log_prior)) < 4 * drawn.std() / np.sqrt(len(drawn))
        found[name] = drawn.mean()
    aggregated_kl = (np.exp(aggregated) * (aggregated - norm.logpdf(GRID))).sum() * (GRID[1] - GRID[0])
    np.testing.assert_allclose(expected_kl(norm.logpdf(GRID)) - expected_kl(aggregated), aggregated_kl, rtol=1e-6)
    assert found["normal"] - found["vamp"] > 0.9 * aggregated_kl > 1
    # with two kinds told apart it is what they tell, log 2
    np.testing.assert_allclose(found["vamp"], np.log(2), rtol=0.02)


@pytest.mark.slow
def test_c4_11_no_prior_does_better_than_the_aggregated_posterior():
    """A mixture whose two components are moved or reweighted costs more: learning pseudo-inputs ends there."""

    def cost(u, weights):
        prior = vamp_prior(two_kinds, u, weights)
        log_prior = prior.log_density(jnp.asarray(GRID[:, None], jnp.float32))
        return expected_kl(np.float64(log_prior))

    best = cost(KINDS, None)
    for u, weights in ((KINDS + 0.1, None), (KINDS * 0.8, None), (KINDS, np.array([0.3, 0.7])), (KINDS[:1], None)):
        assert cost(u, weights) > best + 1e-3
    one = diagonal_mixture(Gaussian(jnp.zeros((1, 1)), jnp.asarray(np.sqrt(WIDTH**2 + 4), jnp.float32)))
    assert expected_kl(np.float64(one.log_density(jnp.asarray(GRID[:, None], jnp.float32)))) > best + 0.1


RNG = np.random.default_rng(0)
DICTIONARY, SIGNALS, PENALTY = RNG.standard_normal((8, 24)) / np.sqrt(8), RNG.standard_normal((6, 8)), 0.3


def lasso(z):
    """½‖x − Dz‖² + λ‖z‖₁ in float64 of numpy."""
    return 0.5 * ((SIGNALS - np.float64(z) @ DICTIONARY.T) ** 2).sum(-1) + PENALTY * np.abs(np.float64(z)).sum(-1)


@pytest.mark.parametrize("slower", [1.0, slow(2.5)])
def test_c4_12_ista_descends_at_every_step(slower):
    """For any c ≥ λ_max(DᵀD), until it rests on the Lasso's solution."""
    largest = np.linalg.eigvalsh(DICTIONARY.T @ DICTIONARY)[-1]
    c = slower * largest
    with jax.enable_x64(True):
        x, dictionary = jnp.asarray(SIGNALS), jnp.asarray(DICTIONARY)
        step = jax.jit(lambda z, c: sparse.ista(x, dictionary, PENALTY, steps=1, c=c, start=z))

        def costs(c):
            z = [jnp.zeros((6, 24))]
            for _ in range(200):
                z.append(step(z[-1], c))
            return np.array([lasso(z) for z in z])

        falls, too_long = -np.diff(costs(c), axis=0), costs(0.4 * largest)
    assert np.all(falls > -1e-12)
    assert np.all(falls[:10] > 1e-4)
    # with steps longer than 2/λ_max it climbs
    assert np.any(too_long[-1] > 10 * too_long[0])


@pytest.mark.slow
def test_c4_12_codes_are_sparse_and_those_of_the_lasso():
    model = Lasso(alpha=PENALTY / 8, fit_intercept=False, tol=1e-12, max_iter=1_000_000)
    exact = np.stack([model.fit(DICTIONARY, x).coef_.copy() for x in SIGNALS])
    with jax.enable_x64(True):
        found = sparse.ista(jnp.asarray(SIGNALS), jnp.asarray(DICTIONARY), PENALTY, steps=20_000)
        zeros = np.asarray(sparse.zero_fraction(found))
        hoyer = np.asarray(sparse.hoyer(found))
    np.testing.assert_allclose(found, exact, atol=1e-6)
    np.testing.assert_allclose(zeros, (exact == 0).mean(-1))
    # no more atoms than dimensions, of 24; least squares would use them all
    assert np.all(zeros >= 1 - 8 / 24)
    dense = SIGNALS @ np.linalg.pinv(DICTIONARY).T
    assert np.all(dense != 0)
    assert np.all(hoyer > np.asarray(sparse.hoyer(jnp.asarray(dense, jnp.float32))))

"""Bernoulli and discretised logistic decoders against scipy and their own sums, far into the tails; and refusals."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from scipy.special import logsumexp
from scipy.stats import bernoulli, logistic

from jaxgen.distributions import Gaussian, likelihoods

SCALES = [1e-5, 1e-3, 0.01, 0.3, 3.0, 1000.0]
MEANS = [0.0, 0.003, 0.5, -0.999, 1.7, -40.0]


def test_bernoulli_is_scipys():
    logits = np.linspace(-30, 30, 61).reshape(1, -1)
    for x in (np.zeros_like(logits), np.ones_like(logits)):
        with jax.enable_x64(True):
            found = jax.vmap(likelihoods.bernoulli(), 1)(jnp.asarray(x)[:, :, None], jnp.asarray(logits)[:, :, None])[
                :, 0
            ]
        exact = bernoulli.logpmf(x[0], 1 / (1 + np.exp(-logits[0])))
        kept = logits[0] < 15  # beyond, 1 − p is rounded before scipy sees it
        np.testing.assert_allclose(found[kept], exact[kept], rtol=1e-9)


def test_bernoulli_of_grey_values_is_the_cross_entropy_summed_over_the_event():
    x, logits = jax.random.uniform(jax.random.key(0), (3, 4, 5)), 3 * jax.random.normal(jax.random.key(1), (3, 4, 5))
    p = 1 / (1 + np.exp(-np.float64(logits)))
    exact = np.float64(x) * np.log(p) + (1 - np.float64(x)) * np.log1p(-p)
    np.testing.assert_allclose(likelihoods.bernoulli()(x, logits), exact.reshape(3, -1).sum(-1), rtol=1e-5)


@pytest.mark.parametrize("size", [0.0, 20.0, 90.0, 1e4, 1e30])
def test_bernoulli_of_any_logits_has_value_and_gradient(size):
    """log p tends to −|logit| on the wrong side and to 0 on the right one, and its gradient is x − p everywhere."""
    for sign in (-1, 1):
        for x in (0.0, 0.25, 1.0):
            logit = np.float64(np.float32(sign * size))
            one = lambda logits, x=x: likelihoods.bernoulli()(jnp.full((1, 1), x), logits)[0]
            value, slope = jax.value_and_grad(one)(jnp.full((1, 1), logit, jnp.float32))
            exact = -x * np.logaddexp(0, -logit) - (1 - x) * np.logaddexp(0, logit)
            np.testing.assert_allclose(value, exact, rtol=1e-6, atol=1e-38)
            p = np.exp(-np.logaddexp(0, -logit))
            np.testing.assert_allclose(slope[0, 0], x - p, rtol=1e-5, atol=3e-8)


def of_levels(log_probability, values, mean, scale):
    """The likelihood at every value (L,), each an example of its own."""
    values = values[:, None]
    return log_probability(values, (jnp.full_like(values, mean), jnp.asarray(scale, values.dtype)))


def exact_bin(x, mean, scale, levels=256, low=-1.0, high=1.0):
    """log of the mass of the bin about x, from whichever tail of scipy's logistic keeps its digits."""
    half = (high - low) / (levels - 1) / 2
    left = np.where(x < low + half, -np.inf, (x - half - mean) / scale)
    right = np.where(x > high - half, np.inf, (x + half - mean) / scale)
    turned = left + right > 0
    a, b = np.where(turned, -right, left), np.where(turned, -left, right)
    with np.errstate(divide="ignore"):
        return logistic.logcdf(b) + np.log(-np.expm1(logistic.logcdf(a) - logistic.logcdf(b)))


@pytest.mark.parametrize(
    ("levels", "low", "high"), [(256, -1.0, 1.0), (2, 0.0, 1.0), (256, 0.0, 255.0), (11, -3.0, 1.0)]
)
def test_the_logistic_probabilities_of_all_levels_sum_to_1(levels, low, high):
    log_probability = jax.jit(lambda *args: of_levels(likelihoods.discretised_logistic(levels, low, high), *args))
    values, unit = np.linspace(low, high, levels), (high - low) / 2
    for scale in SCALES:
        for mean in MEANS:
            args = (low + high) / 2 + unit * mean, unit * scale
            with jax.enable_x64(True):
                assert abs(logsumexp(log_probability(values, *args))) < 1e-9, (mean, scale)
            single = logsumexp(np.float64(log_probability(np.float32(values), *args)))
            assert abs(single) < 2e-3, (mean, scale)


def test_logistic_bins_of_scipy():
    values = np.linspace(-1, 1, 256)
    log_probability = jax.jit(lambda *args: of_levels(likelihoods.discretised_logistic(), *args))
    for scale in SCALES:
        for mean in MEANS:
            exact = exact_bin(values, mean, scale)
            with jax.enable_x64(True):
                found = log_probability(values, mean, scale)
                np.testing.assert_allclose(found, exact, rtol=1e-8, atol=1e-8, err_msg=f"{mean} {scale}")
            if scale < 100:
                found = log_probability(np.float32(values), np.float32(mean), scale)
                # float32 knows an edge to 1e-7 of its place, which the scale divides
                tolerance = 1e-5 + 4e-7 * (np.abs(exact) + (np.abs(values - mean) + 1) / scale)
                assert np.all(np.abs(found - exact_bin(values, np.float64(np.float32(mean)), scale)) < tolerance)


@pytest.mark.parametrize("away", [0.0, 3.0, 40.0, 1e3, 1e6])
@pytest.mark.parametrize("index", [0, 100, 255])
def test_logistic_gradients_far_from_the_mean(away, index):
    """d log(σ(b) − σ(a))/dμ = −(σ'(b) − σ'(a))/(σ(b) − σ(a))/s = (σ(a) − σ(−b))/s, an end's its one tail's."""
    scale, x = np.float32(0.02), np.linspace(-1, 1, 256)[index]
    for side in (-1, 1):
        mean = np.float32(x + side * away * scale)

        def one(mean, scale, x=x):
            params = jnp.reshape(mean, (1, 1)), scale
            return likelihoods.discretised_logistic()(jnp.full((1, 1), x, jnp.float32), params)[0]

        value, (by_mean, by_scale) = jax.value_and_grad(one, (0, 1))(mean, scale)
        assert np.isfinite(value)
        mean, s = np.float64(mean), np.float64(scale)
        a, b = (x - 1 / 255 - mean) / s, (x + 1 / 255 - mean) / s
        sigmoid = lambda u: np.exp(-np.logaddexp(0, -u))
        # of an inner bin, log σ(b) + log σ(−a) + log(1 − e^{a−b}); the last ratio is that of the width
        width = b - a
        inner = 0 < index < 255
        by_b, by_a = sigmoid(-b) * (index < 255), -sigmoid(a) * (index > 0)
        by_width = np.exp(-width) / -np.expm1(-width) if inner else 0
        np.testing.assert_allclose(by_mean, -(by_b + by_a) / s, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(by_scale, -(b * by_b + a * by_a + width * by_width) / s, rtol=2e-3, atol=2e-2)


def test_logistic_reads_a_gaussians_std_as_its_scale_and_one_for_each_element():
    x, mean = jnp.round(jax.random.uniform(jax.random.key(0), (2, 3, 4, 2)) * 255) / 127.5 - 1
    scale = 0.02 + mean**2
    whole = likelihoods.discretised_logistic()(x, Gaussian(mean, scale))
    np.testing.assert_array_equal(whole, likelihoods.discretised_logistic()(x, (mean, scale)))
    exact = exact_bin(np.float64(x), np.float64(mean), np.float64(scale)).reshape(3, -1).sum(-1)
    np.testing.assert_allclose(whole, exact, rtol=1e-4)


def test_half_precision_pulls_nothing_down():
    x = jnp.linspace(-1, 1, 256)[:, None]
    params = jnp.full((256, 1), 0.25), jnp.float32(0.02)
    full = likelihoods.discretised_logistic()(x, params)
    half = likelihoods.discretised_logistic()(x.astype(jnp.bfloat16), params)
    assert half.dtype == jnp.float32
    np.testing.assert_array_equal(half, full)
    bits = (x > 0).astype(jnp.bfloat16)
    assert likelihoods.bernoulli()(bits, params[0].astype(jnp.bfloat16)).dtype == jnp.float32
    with jax.enable_x64(True):
        assert likelihoods.bernoulli()(bits, params[0]).dtype == jnp.float32
        assert likelihoods.bernoulli()(bits, jnp.float64(params[0])).dtype == jnp.float64


CASES = {
    "bernoulli": (likelihoods.bernoulli(), lambda mean: mean),
    "discretised_logistic": (likelihoods.discretised_logistic(), lambda mean: Gaussian(mean, 0.2 + mean**2)),
    "density": (likelihoods.gaussian(), lambda mean: Gaussian(mean, 0.2 + mean**2)),
    "discretised": (likelihoods.discretised_gaussian(), lambda mean: Gaussian(mean, 0.2 + mean**2)),
    "categorical": (likelihoods.gaussian_softmax(), lambda mean: Gaussian(mean, 0.2 + mean**2)),
}
X, MEAN = jax.random.uniform(jax.random.key(0), (2, 3, 4))


class VariantsTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_device=True, with_pmap=True)
    @parameterized.named_parameters(("bernoulli", "bernoulli"), ("discretised_logistic", "discretised_logistic"))
    def test_same_numbers(self, name):
        log_probability, params = CASES[name]
        found = self.variant(lambda x, mean: log_probability(x, params(mean)))(X, MEAN)
        np.testing.assert_allclose(found, log_probability(X, params(MEAN)), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["bernoulli", "discretised_logistic"])
def test_vmap_is_the_batch(name):
    log_probability, params = CASES[name]
    alone = jax.vmap(lambda x, mean: log_probability(x[None], params(mean[None]))[0])(X, MEAN)
    np.testing.assert_allclose(alone, log_probability(X, params(MEAN)), rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("unchecked")
def test_params_of_another_shape_are_refused_not_broadcast(name):
    log_probability, params = CASES[name]
    for shape in ((3, 4, 1), (1, 4), (3, 1)):
        with pytest.raises(ValueError, match=r"one shape, got \(3, 4\) and"):
            jax.eval_shape(lambda x, mean: log_probability(x, params(mean)), X, jnp.zeros(shape))


def test_refusals():
    for bad in ((1, -1.0, 1.0), (256, 1.0, 1.0)):
        with pytest.raises(ValueError, match="levels >= 2 and low < high"):
            likelihoods.discretised_logistic(*bad)
    for bad in (2 * X - 1, X.at[0, 0].set(jnp.nan), 255 * X):
        with pytest.raises(ValueError, match=r"x in \[0, 1\]"):
            likelihoods.bernoulli()(bad, MEAN)

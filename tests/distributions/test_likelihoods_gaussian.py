"""Decoders against scipy and their own sum to 1, far into the tails and at both ends of the std."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from scipy.special import logsumexp
from scipy.stats import norm

from jaxgen.distributions import Gaussian, likelihoods

MEANS = np.array([0.0, 0.003, 0.5, -0.999, 1.0, 1.7, -40.0])
STDS = [1e-5, 1e-3, 0.01, 0.3, 3.0, 1000.0]
MAKERS = {"discretised": likelihoods.discretised_gaussian, "categorical": likelihoods.gaussian_softmax}
both = pytest.mark.parametrize("name", MAKERS)


def levels_of(levels, low, high):
    return np.linspace(low, high, levels)


def exact_bin(x0, mean, std, levels=256, low=-1.0, high=1.0):
    """log of the mass of the bin about x0, from whichever tail of scipy's normal keeps its digits."""
    half = (high - low) / (levels - 1) / 2
    left = np.where(x0 < low + half, -np.inf, (x0 - half - mean) / std)
    right = np.where(x0 > high - half, np.inf, (x0 + half - mean) / std)
    turned = left + right > 0
    a, b = np.where(turned, -right, left), np.where(turned, -left, right)
    with np.errstate(divide="ignore"):
        return norm.logcdf(b) + np.log(-np.expm1(norm.logcdf(a) - norm.logcdf(b)))


@partial(jax.jit, static_argnums=0)
def of_levels(log_probability, values, mean, std):
    """The likelihood at every value (L,), each a sample of its own."""
    values = values[:, None]
    return log_probability(values, Gaussian(jnp.full_like(values, mean), jnp.asarray(std, values.dtype)))


@both
@pytest.mark.parametrize(
    ("levels", "low", "high"), [(256, -1.0, 1.0), (2, 0.0, 1.0), (256, 0.0, 255.0), (11, -3.0, 1.0)]
)
def test_the_probabilities_of_all_levels_sum_to_1(name, levels, low, high):
    log_probability = MAKERS[name](levels, low, high)
    values = levels_of(levels, low, high)
    unit = (high - low) / 2
    for std in STDS:
        for mean in MEANS:
            args = (low + high) / 2 + unit * mean, unit * std
            with jax.enable_x64(True):
                total = logsumexp(of_levels(log_probability, values, *args))
                assert abs(total) < 1e-9, (mean, std)
            single = logsumexp(np.float64(of_levels(log_probability, np.float32(values), *args)))
            assert abs(single) < 2e-3, (mean, std)


def test_bins_of_scipy():
    values, log_probability = levels_of(256, -1.0, 1.0), likelihoods.discretised_gaussian()
    for std in STDS:
        for mean in MEANS:
            exact = exact_bin(values, mean, std)
            with jax.enable_x64(True):
                found = of_levels(log_probability, values, mean, std)
                np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-11, err_msg=f"{mean} {std}")
            if std < 100:
                found = of_levels(log_probability, np.float32(values), np.float32(mean), std)
                distance = np.abs(values - np.float32(mean))
                exact = exact_bin(values, np.float64(np.float32(mean)), std)
                # float32 knows an edge to 1e-7, and takes the mass of a narrow bin as a difference of two tails
                share = np.minimum(1, np.maximum(distance / std, 1) * (2 / 255) / std)
                tolerance = 6e-7 * ((1 + np.abs(exact)) / share + (distance + std) / std**2)
                assert np.all(np.abs(found - exact) < tolerance), (mean, std)


def test_softmax_of_scipy():
    values, log_probability = levels_of(256, -1.0, 1.0), likelihoods.gaussian_softmax()
    for std in STDS:
        for mean in MEANS:
            logits = norm.logpdf(values, mean, std)
            exact = logits - logsumexp(logits)
            with jax.enable_x64(True):
                found = of_levels(log_probability, values, mean, std)
                np.testing.assert_allclose(found, exact, rtol=1e-8, atol=1e-8, err_msg=f"{mean} {std}")


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("away", [3.0, 12.0, 50.0, 400.0, 3000.0])
def test_far_from_the_mean_value_and_gradient_are_those_of_theory(away, dtype):
    """d log(Φ(b) − Φ(a))/dμ = (φ(a) − φ(b))/(Φ(b) − Φ(a))/std, and the same times a or b for the std."""
    with jax.enable_x64(dtype == jnp.float64):
        std, x0 = dtype(1e-3 if away > 100 else 0.01), 25 / 255
        mean = dtype(x0 - away * float(std))

        def one(mean, std):
            return likelihoods.discretised_gaussian()(jnp.full((1, 1), x0, dtype), Gaussian(mean.reshape(1, 1), std))[0]

        value, (by_mean, by_std) = jax.value_and_grad(one, (0, 1))(jnp.asarray(mean), jnp.asarray(std))
        assert value.dtype == by_mean.dtype == dtype
    mean, std = np.float64(mean), np.float64(std)
    exact = exact_bin(x0, mean, std)
    a, b = (x0 - 1 / 255 - mean) / std, (x0 + 1 / 255 - mean) / std
    densities = np.exp(norm.logpdf([a, b]) - exact)
    tolerance = 1e-9 if dtype == jnp.float64 else 2e-4
    np.testing.assert_allclose(value, exact, rtol=tolerance)
    np.testing.assert_allclose(by_mean, (densities[0] - densities[1]) / std, rtol=tolerance)
    np.testing.assert_allclose(by_std, (a * densities[0] - b * densities[1]) / std, rtol=tolerance)


@pytest.mark.parametrize("away", [1e5, 1e7, 1e9])
def test_an_untrained_networks_x0_still_has_a_gradient(away):
    """eps read at alpha ~ 1e-5 is x0 at millions of std: there the tail is e^{−a²/2}, a the nearer edge in std."""
    std, index = jnp.float32(0.02), 100
    x0 = levels_of(256, -1.0, 1.0)[index]

    def one(mean, std):
        return likelihoods.discretised_gaussian()(jnp.full((1, 1), x0, jnp.float32), Gaussian(mean.reshape(1, 1), std))[
            0
        ]

    for side in (-1, 1):
        mean = jnp.float32(side * away * 0.02)
        value, (by_mean, by_std) = jax.value_and_grad(one, (0, 1))(mean, std)
        a = (x0 + side / 255 - np.float64(mean)) / 0.02
        np.testing.assert_allclose(value, -(a**2) / 2, rtol=1e-5)
        np.testing.assert_allclose(by_mean, a / 0.02, rtol=1e-5)
        np.testing.assert_allclose(by_std, a**2 / 0.02, rtol=1e-5)


@both
def test_gradients_are_finite_at_every_level(name):
    values = np.float32(levels_of(256, -1.0, 1.0))
    log_probability = MAKERS[name]()
    gradient = jax.jit(jax.grad(lambda mean, std: of_levels(log_probability, values, mean, std).sum(), (0, 1)))
    for std in STDS:
        for mean in MEANS:
            assert np.all(np.isfinite(gradient(mean, std))), (mean, std)


def test_a_wide_gaussian_makes_the_levels_equal_and_the_open_bins_take_its_tails():
    values = np.float32(levels_of(256, -1.0, 1.0))
    np.testing.assert_allclose(of_levels(likelihoods.gaussian_softmax(), values, 0.3, 1e4), -np.log(256), rtol=1e-5)
    ends = of_levels(likelihoods.discretised_gaussian(), values, 0.0, 1e4)[jnp.array([0, -1])]
    np.testing.assert_allclose(ends, np.log(0.5), rtol=1e-3)
    # and a narrow one reads its own level for sure
    for maker in MAKERS.values():
        np.testing.assert_allclose(of_levels(maker(), values[100:101], values[100] + 0.001, 1e-4), 0, atol=1e-6)


def test_density_is_the_normal_one():
    x0, mean = jax.random.normal(jax.random.key(0), (2, 3, 4, 2))
    std = jnp.exp(mean)
    found = likelihoods.gaussian()(x0, Gaussian(mean, std))
    np.testing.assert_allclose(found, norm.logpdf(x0, mean, std).reshape(3, -1).sum(-1), rtol=1e-5)
    with jax.enable_x64(True):
        assert likelihoods.gaussian()(jnp.float64(x0), Gaussian(jnp.float64(mean), 0.1)).dtype == jnp.float64


@pytest.mark.parametrize("make", [*MAKERS.values(), likelihoods.gaussian])
def test_a_std_of_its_own_for_each_sample_and_each_element(make):
    x0, mean = jnp.round(jax.random.uniform(jax.random.key(0), (2, 3, 4, 2)) * 255) / 127.5 - 1
    for std in (jnp.array([0.1, 0.2, 0.3]).reshape(3, 1, 1), 0.1 + mean**2):
        whole = make()(x0, Gaussian(mean, std))
        assert whole.shape == (3,)
        full = jnp.broadcast_to(std, x0.shape).reshape(-1, 1)
        elements = make()(x0.reshape(-1, 1), Gaussian(mean.reshape(-1, 1), full))
        np.testing.assert_allclose(whole, elements.reshape(3, -1).sum(-1), rtol=1e-5)


@both
def test_half_precision_pulls_nothing_down(name):
    """bfloat16 tells the 256 levels apart, so they are read exactly; the arithmetic is float32."""
    values = jnp.asarray(levels_of(256, -1.0, 1.0))
    mean = jnp.full((256, 1), 0.25)
    gaussian = Gaussian(mean, jnp.float32(0.02))
    full = MAKERS[name]()(values[:, None], gaussian)
    half = MAKERS[name]()(values[:, None].astype(jnp.bfloat16), gaussian)
    assert half.dtype == jnp.float32
    np.testing.assert_array_equal(half, full)
    assert MAKERS[name]()(values[:, None], Gaussian(mean.astype(jnp.bfloat16), gaussian.std)).dtype == jnp.float32
    assert likelihoods.gaussian()(values[:, None].astype(jnp.bfloat16), gaussian).dtype == jnp.float32
    with jax.enable_x64(True):  # and a table in float64 does not widen it
        assert MAKERS[name]()(values[:, None], Gaussian(mean, jnp.float64(0.02))).dtype == jnp.float32


X0, MEAN = jnp.round(jax.random.uniform(jax.random.key(0), (2, 3, 4)) * 255) / 127.5 - 1


class VariantsTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_device=True, with_pmap=True)
    @parameterized.named_parameters(
        ("discretised", "discretised_gaussian"), ("categorical", "gaussian_softmax"), ("density", "gaussian")
    )
    def test_same_numbers(self, name):
        log_probability = getattr(likelihoods, name)()
        found = self.variant(lambda x0, mean, std: log_probability(x0, Gaussian(mean, std)))(X0, MEAN, 0.2 + MEAN**2)
        expected = log_probability(X0, Gaussian(MEAN, 0.2 + MEAN**2))
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("make", [*MAKERS.values(), likelihoods.gaussian])
def test_vmap_is_the_batch(make):
    alone = jax.vmap(lambda x, mean: make()(x[None], Gaussian(mean[None], jnp.float32(0.2)))[0])(X0, MEAN)
    np.testing.assert_allclose(alone, make()(X0, Gaussian(MEAN, jnp.float32(0.2))), rtol=1e-5)


def test_refusals():
    for make in MAKERS.values():
        for bad in ((1, -1.0, 1.0), (256, 1.0, 1.0)):
            with pytest.raises(ValueError, match="levels >= 2 and low < high"):
                make(*bad)

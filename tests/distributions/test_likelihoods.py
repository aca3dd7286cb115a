"""Likelihoods against scipy and their own sum to 1, far into the tails and at both ends of the scale."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly, slow
from scipy.special import logsumexp
from scipy.stats import bernoulli, logistic, norm

from jaxgen.distributions import Gaussian, likelihoods

MEANS = np.array([0.0, 0.003, 0.5, -0.999, 1.0, 1.7, -40.0])
SCALES = [1e-5, 1e-3, 0.01, 0.3, 3.0, 1000.0]
LEVELS = np.linspace(-1, 1, 256)
DISCRETE = {
    "gaussian": likelihoods.discretised_gaussian,
    "softmax": likelihoods.gaussian_softmax,
    "logistic": likelihoods.discretised_logistic,
}
LAWS = {"gaussian": norm, "logistic": logistic}
X0, MEAN = map(jnp.asarray, np.float32(np.random.default_rng(0).integers(0, 256, (2, 3, 4, 2)) / 127.5 - 1))
every_discrete = pytest.mark.parametrize("name", DISCRETE)


def exact_bin(law, x0, mean, scale):
    """log of the mass of the bin about x0, from whichever tail of scipy's law keeps its digits."""
    left = np.where(x0 < -1 + 1 / 255, -np.inf, (x0 - 1 / 255 - mean) / scale)
    right = np.where(x0 > 1 - 1 / 255, np.inf, (x0 + 1 / 255 - mean) / scale)
    turned = left + right > 0
    a, b = np.where(turned, -right, left), np.where(turned, -left, right)
    with np.errstate(divide="ignore"):
        return law.logcdf(b) + np.log(-np.expm1(law.logcdf(a) - law.logcdf(b)))


@partial(jax.jit, static_argnums=0)
def of_levels(log_probability, values, mean, scale):
    """The likelihood at every value (L,), each an example of its own."""
    values = values[:, None]
    return log_probability(values, Gaussian(jnp.full_like(values, mean), jnp.asarray(scale, values.dtype)))


@every_discrete
@pytest.mark.parametrize(
    ("levels", "low", "high"), [(256, 0.0, 255.0), slow(256, -1.0, 1.0), slow(2, 0.0, 1.0), slow(11, -3.0, 1.0)]
)
def test_the_probabilities_of_all_levels_sum_to_1(name, levels, low, high):
    log_probability, values, unit = DISCRETE[name](levels, low, high), np.linspace(low, high, levels), (high - low) / 2
    for scale in SCALES:
        for mean in MEANS:
            args = (low + high) / 2 + unit * mean, unit * scale
            with jax.enable_x64(True):
                assert abs(logsumexp(of_levels(log_probability, values, *args))) < 1e-9, (mean, scale)
            single = logsumexp(np.float64(of_levels(log_probability, np.float32(values), *args)))
            assert abs(single) < 2e-3, (mean, scale)


@every_discrete
def test_levels_are_scipys(name):
    """Bins of the Gaussian and the logistic, and the softmax of the Gaussian density."""
    log_probability = DISCRETE[name]()
    for scale in SCALES:
        for mean in MEANS:
            if name == "softmax":
                exact = norm.logpdf(LEVELS, mean, scale)
                exact = exact - logsumexp(exact)
            else:
                exact = exact_bin(LAWS[name], LEVELS, mean, scale)
            with jax.enable_x64(True):
                found = of_levels(log_probability, LEVELS, mean, scale)
            tolerance = {"rtol": 1e-9, "atol": 1e-11} if name == "gaussian" else {"rtol": 1e-8, "atol": 1e-8}
            np.testing.assert_allclose(found, exact, **tolerance, err_msg=f"{mean} {scale}")
            if name == "softmax" or scale >= 100:
                continue
            found = of_levels(log_probability, np.float32(LEVELS), np.float32(mean), scale)
            distance = np.abs(LEVELS - np.float32(mean))
            exact = exact_bin(LAWS[name], LEVELS, np.float64(np.float32(mean)), scale)
            # float32 knows an edge to 1e-7 of its place, which the scale divides
            allowed = 1e-5 + 4e-7 * (np.abs(exact) + (distance + 1) / scale)
            if name == "gaussian":  # and takes the mass of a narrow bin as a difference of two tails
                share = np.minimum(1, np.maximum(distance / scale, 1) * (2 / 255) / scale)
                allowed = 6e-7 * ((1 + np.abs(exact)) / share + (distance + scale) / scale**2)
            assert np.all(np.abs(found - exact) < allowed), (mean, scale)


def value_and_gradient(name, x, mean, scale):
    """log p at one level, with its derivatives in the mean and the scale."""

    def one(mean, scale):
        return DISCRETE[name]()(jnp.full((1, 1), x, mean.dtype), Gaussian(mean.reshape(1, 1), scale))[0]

    return jax.value_and_grad(one, (0, 1))(jnp.asarray(mean), jnp.asarray(scale))


@pytest.mark.first_by_day
@pytest.mark.parametrize("dtype", [jnp.float32, slow(jnp.float64)])
@pytest.mark.parametrize("away", [3.0, slow(12.0), slow(50.0), 400.0, slow(3000.0)])
def test_far_from_the_mean_value_and_gradient_of_a_gaussian_bin_are_those_of_theory(away, dtype):
    """d log(Φ(b) − Φ(a))/dμ = (φ(a) − φ(b))/(Φ(b) − Φ(a))/std, and the same times a or b for the std."""
    with jax.enable_x64(dtype == jnp.float64):
        std, x0 = dtype(1e-3 if away > 100 else 0.01), 25 / 255
        mean = dtype(x0 - away * float(std))
        value, (by_mean, by_std) = value_and_gradient("gaussian", x0, mean, std)
        assert value.dtype == by_mean.dtype == dtype
    mean, std = np.float64(mean), np.float64(std)
    exact = exact_bin(norm, x0, mean, std)
    a, b = (x0 - 1 / 255 - mean) / std, (x0 + 1 / 255 - mean) / std
    densities = np.exp(norm.logpdf([a, b]) - exact)
    tolerance = 1e-9 if dtype == jnp.float64 else 2e-4
    np.testing.assert_allclose(value, exact, rtol=tolerance)
    np.testing.assert_allclose(by_mean, (densities[0] - densities[1]) / std, rtol=tolerance)
    np.testing.assert_allclose(by_std, (a * densities[0] - b * densities[1]) / std, rtol=tolerance)


@pytest.mark.parametrize("away", [slow(1e5), 1e7, slow(1e9)])
def test_an_untrained_networks_x0_still_has_a_gradient(away):
    """eps read at alpha ~ 1e-5 is x0 at millions of std: there the tail is e^{−a²/2}, a the nearer edge in std."""
    for side in (-1, 1):
        mean = np.float32(side * away * 0.02)
        value, (by_mean, by_std) = value_and_gradient("gaussian", LEVELS[100], mean, np.float32(0.02))
        a = (LEVELS[100] + side / 255 - np.float64(mean)) / 0.02
        np.testing.assert_allclose(value, -(a**2) / 2, rtol=1e-5)
        np.testing.assert_allclose([by_mean, by_std], [a / 0.02, a**2 / 0.02], rtol=1e-5)


@pytest.mark.parametrize("away", [slow(0.0), 3.0, slow(40.0), slow(1e3), 1e6])
@pytest.mark.parametrize("index", [0, 100, slow(255)])
def test_logistic_gradients_far_from_the_mean(away, index):
    """d log(σ(b) − σ(a))/dμ = −(σ'(b) − σ'(a))/(σ(b) − σ(a))/s = (σ(a) − σ(−b))/s, an end's its one tail's."""
    scale, x = np.float32(0.02), LEVELS[index]
    for side in (-1, 1):
        mean = np.float32(x + side * away * scale)
        value, (by_mean, by_scale) = value_and_gradient("logistic", x, mean, scale)
        assert np.isfinite(value)
        s = np.float64(scale)
        a, b = (x - 1 / 255 - np.float64(mean)) / s, (x + 1 / 255 - np.float64(mean)) / s
        sigmoid = lambda u: np.exp(-np.logaddexp(0, -u))
        # of an inner bin, log σ(b) + log σ(−a) + log(1 − e^{a−b}); the last ratio is that of the width
        width = b - a
        by_b, by_a = sigmoid(-b) * (index < 255), -sigmoid(a) * (index > 0)
        by_width = np.exp(-width) / -np.expm1(-width) if 0 < index < 255 else 0
        np.testing.assert_allclose(by_mean, -(by_b + by_a) / s, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(by_scale, -(b * by_b + a * by_a + width * by_width) / s, rtol=2e-3, atol=2e-2)


@nightly("name", ["gaussian", "softmax"])
def test_gradients_are_finite_at_every_level(name):
    log_probability, values = DISCRETE[name](), np.float32(LEVELS)
    gradient = jax.jit(jax.grad(lambda mean, std: of_levels(log_probability, values, mean, std).sum(), (0, 1)))
    for std in SCALES:
        for mean in MEANS:
            assert np.all(np.isfinite(gradient(mean, std))), (mean, std)


def test_a_wide_gaussian_makes_the_levels_equal_and_the_open_bins_take_its_tails():
    values = np.float32(LEVELS)
    np.testing.assert_allclose(of_levels(likelihoods.gaussian_softmax(), values, 0.3, 1e4), -np.log(256), rtol=1e-5)
    ends = of_levels(likelihoods.discretised_gaussian(), values, 0.0, 1e4)[jnp.array([0, -1])]
    np.testing.assert_allclose(ends, np.log(0.5), rtol=1e-3)
    # and a narrow one reads its own level for sure
    for name in ("gaussian", "softmax"):
        np.testing.assert_allclose(
            of_levels(DISCRETE[name](), values[100:101], values[100] + 0.001, 1e-4), 0, atol=1e-6
        )


def test_density_is_the_normal_one():
    std = jnp.exp(MEAN)
    found = likelihoods.gaussian()(X0, Gaussian(MEAN, std))
    np.testing.assert_allclose(found, norm.logpdf(X0, MEAN, std).reshape(3, -1).sum(-1), rtol=1e-5)
    with jax.enable_x64(True):
        assert likelihoods.gaussian()(jnp.float64(X0), Gaussian(jnp.float64(MEAN), 0.1)).dtype == jnp.float64


@nightly("make", [*DISCRETE.values(), likelihoods.gaussian])
def test_examples_and_elements_are_alone(make):
    """A std for each example or each element; the likelihood of a batch is the sum over elements; jit of vmap too."""
    for std in (jnp.array([0.1, 0.2, 0.3]).reshape(3, 1, 1), 0.1 + MEAN**2):
        whole = make()(X0, Gaussian(MEAN, std))
        full = jnp.broadcast_to(std, X0.shape).reshape(-1, 1)
        elements = make()(X0.reshape(-1, 1), Gaussian(MEAN.reshape(-1, 1), full))
        np.testing.assert_allclose(whole, elements.reshape(3, -1).sum(-1), rtol=1e-5)
    each = jax.jit(jax.vmap(lambda x, mean, std: make()(x[None], Gaussian(mean[None], std[None]))[0]))(X0, MEAN, std)
    np.testing.assert_allclose(each, whole, rtol=1e-5)


@pytest.mark.slow
@every_discrete
def test_half_precision_pulls_nothing_down(name):
    """bfloat16 tells the 256 levels apart, so they are read exactly; the arithmetic is float32."""
    values, gaussian = jnp.asarray(LEVELS)[:, None], Gaussian(jnp.full((256, 1), 0.25), jnp.float32(0.02))
    half = DISCRETE[name]()(values.astype(jnp.bfloat16), gaussian)
    assert half.dtype == jnp.float32
    np.testing.assert_array_equal(half, DISCRETE[name]()(values, gaussian))
    low = Gaussian(gaussian.mean.astype(jnp.bfloat16), gaussian.std)
    assert DISCRETE[name]()(values, low).dtype == likelihoods.gaussian()(values, low).dtype == jnp.float32
    with jax.enable_x64(True):  # and a table in float64 does not widen it
        assert DISCRETE[name]()(values, Gaussian(gaussian.mean, jnp.float64(0.02))).dtype == jnp.float32


# -- Bernoulli -----------------------------------------------------------------------------------------------------


def test_bernoulli_is_scipys_and_of_grey_values_the_cross_entropy():
    logits = np.linspace(-30, 30, 61)
    for x in (0.0, 1.0):
        with jax.enable_x64(True):
            found = likelihoods.bernoulli()(jnp.full((61, 1), x), jnp.asarray(logits)[:, None])
        kept = logits < 15  # beyond, 1 − p is rounded before scipy sees it
        np.testing.assert_allclose(found[kept], bernoulli.logpmf(x, 1 / (1 + np.exp(-logits)))[kept], rtol=1e-9)
    x, logits = np.float64(X0 + 1) / 2, 3 * MEAN
    p = 1 / (1 + np.exp(-np.float64(logits)))
    exact = (x * np.log(p) + (1 - x) * np.log1p(-p)).reshape(3, -1).sum(-1)
    np.testing.assert_allclose(likelihoods.bernoulli()((X0 + 1) / 2, logits), exact, rtol=1e-5)


@pytest.mark.parametrize("size", [0.0, slow(20.0), 90.0, slow(1e4), 1e30])
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


def test_bernoulli_types():
    bits, logits = jnp.ones((4, 1), jnp.bfloat16), jnp.full((4, 1), 0.25)
    assert likelihoods.bernoulli()(bits, logits.astype(jnp.bfloat16)).dtype == jnp.float32
    with jax.enable_x64(True):
        assert likelihoods.bernoulli()(bits, logits).dtype == jnp.float32
        assert likelihoods.bernoulli()(bits, jnp.float64(logits)).dtype == jnp.float64


# -- refusals ------------------------------------------------------------------------------------------------------


def test_refusals(unchecked):
    for make in (*DISCRETE.values(), likelihoods.gaussian, likelihoods.bernoulli):
        params = (lambda mean: mean) if make is likelihoods.bernoulli else (lambda mean: Gaussian(mean, 0.2 + mean**2))
        for shape in ((3, 4, 1), (1, 4, 2), (3, 1)):
            with pytest.raises(ValueError, match=r"one shape, got \(3, 4, 2\) and"):
                jax.eval_shape(lambda x, mean, make=make, params=params: make()(x, params(mean)), X0, jnp.zeros(shape))
    for make in DISCRETE.values():
        for bad in ((1, -1.0, 1.0), (256, 1.0, 1.0)):
            with pytest.raises(ValueError, match="levels >= 2 and low < high"):
                make(*bad)
    for bad in (X0 - 1, X0.at[0, 0].set(jnp.nan), 255 + X0):
        with pytest.raises(ValueError, match=r"x in \[0, 1\]"):
            likelihoods.bernoulli()(bad, MEAN)

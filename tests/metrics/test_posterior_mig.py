"""The gap of the aggregate posterior against quadrature of the mixtures it is made of."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import entropy, norm

from jaxgen.metrics import posterior_mig

rng = np.random.default_rng


def lattice(*sizes):
    return np.stack([axis.reshape(-1) for axis in np.meshgrid(*map(np.arange, sizes), indexing="ij")], 1)


def differential_entropy(means, stds):
    """−∫ q log q of the mixture of Gaussians of equal weight, by the trapezium rule."""
    low, high = (means - 10 * stds).min(), (means + 10 * stds).max()
    z = np.linspace(low, high, 20_001)
    density = np.mean([norm.pdf(z, m, s) for m, s in zip(means, stds, strict=True)], 0)
    return np.trapezoid(-density * np.log(np.maximum(density, 1e-300)), z)


def information(means, stds, factor):
    """I(z; v) = H(z) − Σ p(v) H(z|v) of one latent by quadrature."""
    shares = np.bincount(factor) / len(factor)
    given = [differential_entropy(means[factor == v], stds[factor == v]) for v in range(len(shares))]
    return differential_entropy(means, stds) - np.dot(shares, given)


def exact(means, stds, factors):
    return np.array([[information(m, s, v) for v in factors.T] for m, s in zip(means.T, stds.T, strict=True)])


def turned(angle, spread=0.35):
    """Two factors of 5 and 4 classes, seen through a rotation, with noise that differs between latents and points."""
    factors = lattice(5, 4)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    means = np.concatenate([(factors - [2, 1.5]) @ rotation, np.zeros((20, 1))], 1)
    stds = spread * np.exp(0.3 * rng(1).normal(size=means.shape))
    return means, stds, factors


@pytest.mark.parametrize("degrees", [20, *(pytest.param(degrees, marks=pytest.mark.slow) for degrees in (0, 45))])
def test_a_linear_gaussian_code_has_the_information_of_quadrature(degrees):
    means, stds, factors = turned(np.deg2rad(degrees))
    truth = exact(means, stds, factors)
    ordered = np.sort(truth, 0)
    expected = np.mean((ordered[-1] - ordered[-2]) / np.log([5, 4]))
    found = posterior_mig(means, stds, factors, samples=40_000)
    assert found.error < 0.01
    # single log ratios have a standard deviation below 1
    np.testing.assert_allclose(found.mutual_information, truth, atol=4 / np.sqrt(40_000))
    assert abs(found.score - expected) < 4 * found.error
    if degrees == 20:
        assert ordered[-2].min() > 0.1  # the case must be able to tell the second from the last
        assert 0.1 < expected < 0.9


@pytest.mark.slow
def test_the_error_is_that_of_repetition():
    means, stds, factors = turned(0.3)
    found = [posterior_mig(means, stds, factors, samples=500, seed=seed) for seed in range(60)]
    scores, errors = np.array([(one.score, one.error) for one in found]).T
    truth = np.sort(exact(means, stds, factors), 0)
    expected = np.mean((truth[-1] - truth[-2]) / np.log([5, 4]))
    assert abs(scores.mean() - expected) < 4 * scores.std(ddof=1) / np.sqrt(60)
    # points are drawn without replacement, so the spread is less than that of independent samples, if anything
    assert 0.5 * errors.mean() < scores.std(ddof=1) < 1.25 * errors.mean()


def test_the_error_in_closed_form():
    """A code that tells a factor's class has log ratios −log p(v); their spread makes the error."""
    shares = np.array([0.1, 0.2, 0.7])
    a, b = lattice(10, 10).T
    factors = np.stack([np.digitize(a, [1, 3]), np.digitize(b, [1, 3])], 1)
    means = np.concatenate([9.0 * factors, 9.0 * factors, np.zeros((100, 1))], 1)
    stds = np.full_like(means, 0.1)
    # each factor has two latents that tell it, so that none leads
    both = posterior_mig(means, stds, factors, samples=1000)
    assert both[:2] == pytest.approx((0, 0), abs=1e-5)
    one = posterior_mig(means[:, 2:], stds[:, 2:], factors, samples=1000)
    spread = np.sqrt(np.dot(shares, np.log(shares) ** 2) - entropy(shares) ** 2) / entropy(shares)
    assert one[:2] == pytest.approx((1, spread / np.sqrt(2) / np.sqrt(999)), abs=1e-5)


def test_perfect_and_ignorant_codes():
    """Classes far apart: all of a factor's entropy, the log of its classes. Posteriors all alike: exactly nothing."""
    factors = lattice(6, 4, 3)
    means = np.concatenate([10.0 * factors, np.zeros((72, 2))], 1)
    found = posterior_mig(means, np.full_like(means, 0.1), factors, samples=2000)
    np.testing.assert_allclose(found.mutual_information[:3], np.diag(np.log([6, 4, 3])), atol=1e-5)
    np.testing.assert_allclose(found.mutual_information[3:], 0, atol=1e-5)
    assert found.score == pytest.approx(1, abs=1e-5)
    assert found.error < 1e-5
    assert posterior_mig(np.ones((72, 3)), np.ones((72, 3)), factors, samples=200).score == pytest.approx(0, abs=1e-5)


@pytest.mark.slow
def test_unbalanced_factors_count_as_often_as_they_occur():
    factor = np.repeat([0, 1, 2], [5, 15, 60])[:, None]
    means = np.concatenate([factor + rng(0).normal(size=(80, 1)), rng(1).normal(size=(80, 1)), factor % 2], 1)
    stds = np.full_like(means, 0.5)
    truth = exact(means, stds, factor)
    found = posterior_mig(means, stds, factor, samples=40_000)
    np.testing.assert_allclose(found.mutual_information, truth, atol=0.02)
    first, second = np.sort(truth[:, 0])[[-1, -2]]
    assert abs(found.score - (first - second) / entropy([5 / 80, 15 / 80, 60 / 80])) < 4 * found.error


def test_negative_information_counts_as_none():
    """What few samples say of latents that know little is noise of either sign."""
    factors = lattice(8, 2)
    means = np.stack([20.0 * factors[:, 0], *0.2 * rng(0).normal(size=(3, 16))], 1)
    found = posterior_mig(means, np.ones_like(means), factors[:, :1], samples=4)
    assert (found.mutual_information[1:] < 0).all()
    assert found.score == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("samples", [50, pytest.param(300, marks=pytest.mark.slow)])
def test_blocks_and_arrays_change_nothing(samples, monkeypatch):
    factors = rng(0).integers(0, 4, (130, 3))
    means, stds = rng(1).normal(size=(130, 4)), rng(2).uniform(0.1, 2, (130, 4))
    whole = posterior_mig(means, stds, factors, samples=samples)
    again = posterior_mig(jnp.asarray(means), jnp.asarray(stds), jnp.asarray(factors), samples=samples)
    np.testing.assert_allclose(again.mutual_information, whole.mutual_information, atol=1e-5)
    module = sys.modules["jaxgen.metrics._posterior_mig"]
    monkeypatch.setattr(module, "_SAMPLES", 32)
    monkeypatch.setattr(module, "_BLOCK_ENTRIES", 32 * 4 * 17)
    blocks = posterior_mig(means, stds, factors, samples=samples)
    np.testing.assert_allclose(blocks.mutual_information, whole.mutual_information, atol=1e-5)
    moved = posterior_mig(means + 1e5, stds, factors, samples=samples)  # float32 has two digits left there
    np.testing.assert_allclose(moved.mutual_information, whole.mutual_information, atol=1e-5)


def test_sums_of_densities_are_scipys():
    module = sys.modules["jaxgen.metrics._posterior_mig"]
    classes = np.pad(rng(0).integers(0, 3, (40, 2)), ((0, 0), (0, 1)))
    means, stds, z = rng(1).normal(size=(40, 3)), rng(2).uniform(0.1, 2, (40, 3)), rng(3).normal(size=(11, 3))
    found = module._sums_of_densities(z, classes[:11], means, stds, np.log(stds / stds.min(0)), classes)
    terms = norm.logpdf(z[:, None], means, stds)[..., None]
    same = (classes[:11, None] == classes)[:, :, None]
    expected = logsumexp(np.where(same, terms, -np.inf), axis=1)
    constant = np.log(stds.min(0)) + np.log(2 * np.pi) / 2
    np.testing.assert_allclose(np.log(found), expected + constant[:, None], atol=1e-4)


def test_refusals():
    means, stds, factors = rng(0).normal(size=(20, 3)), np.ones((20, 3)), rng(0).integers(0, 3, (20, 2))
    for arguments, options, message in [
        ((means * np.nan, stds, factors), {}, "means has NaN"),
        ((means, stds * np.inf, factors), {}, "stds has NaN"),
        ((means, stds[:, :2], factors), {}, r"of one shape \(N, d\), d >= 2, got \(20, 3\) and \(20, 2\)"),
        ((means[:, :1], stds[:, :1], factors), {}, "d >= 2"),
        ((means, stds - 1, factors), {}, "stds must be positive: they are standard deviations"),
        ((means, np.exp(means * 60), factors), {}, r"differ by a factor of e\^\d+: look at the encoder"),
        ((means, stds, factors[:5]), {}, "factors must be of shape"),
        ((means, stds, factors * [1, 0]), {}, "columns .1. have one class each"),
        ((means, stds, factors), {"samples": 1}, "samples must be at least 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            posterior_mig(*arguments, **options)

"""The variational-diffusion experiment: a whole small run, its shapes of γ, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from shown import metrics_of

from experiments import vdm
from experiments import vdm_report as figures
from jaxgen.diffusion import learned_schedule, linear_log_snr
from jaxgen.distributions import likelihoods
from jaxgen.metrics import mean_and_error


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("Invariance", "L_T → L_∞", "lossless compression", "bits-back", "PNG"),
        "data.png schedules.png training.png integrand.png finite.png samples.png",
    )
    assert metrics["ends"]["fixed"] == pytest.approx([-13.3, 5.0])
    assert metrics["finite"][0]["above T = ∞"][0] > metrics["finite"][1]["above T = ∞"][0] > 0
    # the prior's KL at γ = 5 of pixels whose mean square is at most 1, in bits: ½(α² x² + σ² − 1 − log σ²)/ln 2
    prior = metrics["bits_per_dim"][0]["prior"]
    alpha, sigma = 1 / (1 + np.exp(5.0)), 1 / (1 + np.exp(-5.0))
    assert 0.5 * (sigma - 1 - np.log(sigma)) / np.log(2) < prior < 0.5 * (alpha + sigma - 1 - np.log(sigma)) / np.log(2)


class ExactNet:
    """The exact denoiser's noise for pixels N(.1, .5²), told (γ + 5)/8."""

    @staticmethod
    def apply(params, x, time, cond=None):
        gamma = (8 * time - 5).reshape(-1, 1, 1, 1)
        alpha, sigma = jnp.sqrt(jax.nn.sigmoid(-gamma)), jnp.sqrt(jax.nn.sigmoid(gamma))
        return sigma * (x - alpha * 0.1) / (alpha**2 * 0.25 + sigma**2)


@pytest.mark.slow
def test_the_bits_of_a_known_density():
    """Bound and ODE are −log₂ p and ½ log₂(1 + sigma_0²/(alpha_0 s)²) + KL(q_1 ‖ prior) per pixel; L_T its own sum."""
    low, high, std, n = -5.0, 3.0, 0.5, 400
    objective = vdm.Objective(ExactNet(), likelihoods.gaussian(), low, high)
    images = 0.1 + std * np.random.default_rng(0).normal(size=(n, 2, 2, 1)).astype(np.float32)
    measure, model = figures.Measure(objective, images, 40, 1), vdm.Model(linear_log_snr(low, high), None, None)
    alpha2 = 1 / (1 + np.exp(high))
    kl = 0.5 * (alpha2 * (std**2 + 0.1**2 - 1) - np.log1p(alpha2 * (std**2 - 1)))
    gap = 0.5 * np.log1p(np.exp(low) / std**2) + kl
    exact = -norm.logpdf(images.astype(np.float64), 0.1, std).reshape(n, -1).mean(1)
    bound = measure(model.process, None)
    ode, reconstruction, _ = figures._ode_bits(measure, model, n, 0)
    for bits in (bound.total, ode):
        mean, error = mean_and_error(bits - exact / np.log(2))
        assert error < 0.04
        assert abs(mean - gap / np.log(2)) < 4 * error
    assert abs(reconstruction - (0.5 * np.log(2 * np.pi * np.e) + low / 2) / np.log(2)) < 4 / np.sqrt(2 * n * 4)
    gamma = np.linspace(low, high, 5)
    sums = 0.5 * np.expm1(2.0) * np.sum(1 / (1 + np.exp(gamma[1:] - 2 * np.log(std)))) / np.log(2)
    mean, error = mean_and_error(measure(model.process, None, 4).diffusion.mean(0))
    assert abs(mean - sums) < 4 * error < 0.2 * sums


@pytest.mark.parametrize("shape", [figures._straight, figures._bent, figures._cosine])
def test_other_shapes_rise_between_the_same_ends(shape):
    process = learned_schedule(jax.random.key(0), -10.0, 4.0, features=8).replace(shape=jax.tree_util.Partial(shape))
    gamma = process.gamma(np.linspace(0, 1, 101, dtype=np.float32))
    np.testing.assert_allclose(gamma[np.array([0, -1])], [-10, 4], rtol=1e-5)
    assert np.all(np.diff(gamma) > 0)


def test_ratio_of_means_has_the_error_that_repetition_shows():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.5, (2000, 100))
    a, b = 2 + shared + rng.normal(0, 0.5, shared.shape), 4 + shared
    found = [figures.ratio_of_means(*pair) for pair in zip(a, b, strict=True)]
    ratios = [one.mean for one in found]
    assert abs(np.mean(ratios) - 0.5) < 4 * np.std(ratios) / 2000**0.5 + 1e-3  # the ratio's own bias is of order 1/n
    assert np.mean([one.error for one in found]) == pytest.approx(np.std(ratios), rel=0.05)

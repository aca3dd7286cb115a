"""The variational-diffusion experiment: a whole small run, its shapes of γ, and what it refuses."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from shown import metrics_of

from experiments.vdm import measure_chains as chains
from experiments.vdm import measure_shapes
from experiments.vdm.config import PRESETS
from experiments.vdm.measure_bound import BoundEstimator, Draws
from experiments.vdm.measure_likelihood import compressors, ode_bits
from experiments.vdm.shapes import FIXED, with_shape
from experiments.vdm.train import Model, Objective
from jaxgen.diffusion import learned_schedule, linear_log_snr
from jaxgen.distributions import likelihoods
from jaxgen.metrics import mean_and_error


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("Invariance", "L_T → L_∞", "lossless compression", "Bits-back", "PNG"),
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
    objective = Objective(ExactNet(), likelihoods.gaussian(), low, high)
    images = 0.1 + std * np.random.default_rng(0).normal(size=(n, 2, 2, 1)).astype(np.float32)
    estimate, model = BoundEstimator(objective, images, 40, 1), Model(linear_log_snr(low, high), None, None)
    alpha2 = 1 / (1 + np.exp(high))
    kl = 0.5 * (alpha2 * (std**2 + 0.1**2 - 1) - np.log1p(alpha2 * (std**2 - 1)))
    gap = 0.5 * np.log1p(np.exp(low) / std**2) + kl
    exact = -norm.logpdf(images.astype(np.float64), 0.1, std).reshape(n, -1).mean(1)
    bound, ode = estimate(model.process, None), ode_bits(objective, model, images, 0)
    for bits in (bound.total, ode.bits):
        mean, error = mean_and_error(bits - exact / np.log(2))
        assert error < 0.04
        assert abs(mean - gap / np.log(2)) < 4 * error
    assert abs(ode.reconstruction - (0.5 * np.log(2 * np.pi * np.e) + low / 2) / np.log(2)) < 4 / np.sqrt(2 * n * 4)
    gamma = np.linspace(low, high, 5)
    sums = 0.5 * np.expm1(2.0) * np.sum(1 / (1 + np.exp(gamma[1:] - 2 * np.log(std)))) / np.log(2)
    mean, error = mean_and_error(estimate(model.process, None, 4).diffusion.mean(0))
    assert abs(mean - sums) < 4 * error < 0.2 * sums


@pytest.mark.parametrize("name", FIXED)
def test_other_shapes_rise_between_the_same_ends(name):
    process = with_shape(learned_schedule(jax.random.key(0), -10.0, 4.0, features=8), name)
    gamma = process.gamma(np.linspace(0, 1, 101, dtype=np.float32))
    np.testing.assert_allclose(gamma[np.array([0, -1])], [-10, 4], rtol=1e-5)
    assert np.all(np.diff(gamma) > 0)


def test_the_learned_shape_is_kept_beside_the_others():
    process, t = learned_schedule(jax.random.key(0), -10.0, 4.0, features=8), np.linspace(0, 1, 11, dtype=np.float32)
    bent = with_shape(process, "bent")
    np.testing.assert_allclose(with_shape(bent, "learned").gamma(t), process.gamma(t), rtol=1e-6)
    assert jax.tree.structure(bent) == jax.tree.structure(with_shape(process, "learned"))
    straight = with_shape(process, "straight")
    np.testing.assert_allclose(straight.gamma(t), linear_log_snr(-10.0, 4.0).gamma(t), rtol=1e-5, atol=1e-5)


IMAGE = np.random.default_rng(0).normal(5, 2, 100)  # images differ far more than numbers of steps do
OFF = 0.1 * np.random.default_rng(1).normal(size=(2, 100))


@pytest.mark.parametrize(
    ("terms", "falls_to"),
    [
        ({100: IMAGE, 10: IMAGE + 1.5, 30: IMAGE + 0.5 + OFF[0]}, 100),
        ({10: IMAGE + OFF[1], 30: IMAGE}, 10),
        ({10: IMAGE + 1, 30: IMAGE + OFF[1], 100: IMAGE}, 30),
        ({10: IMAGE}, 10),
    ],
)
def test_how_far_the_bound_falls_with_every_number_of_steps(terms, falls_to):
    found = chains.compare(terms, IMAGE)
    assert found.falls_to == falls_to
    assert list(found.by_steps) == sorted(terms)
    for steps, term in terms.items():
        assert found.by_steps[steps].excess.mean == pytest.approx((term - IMAGE).mean())


def test_a_shape_that_differs_is_named_and_variances_are_compared():
    rng = np.random.default_rng(2)
    t, zeros = rng.random((16, 100)), np.zeros((16, 100))
    noise = rng.normal(size=(4, 16, 100))

    def draws(scale, noise, shift=0.0):
        return Draws(zeros[0], 5 + shift + scale * noise, zeros, t)

    found = measure_shapes.compare(
        {
            "learned": draws(1, noise[0]), "straight": draws(2, noise[1]), "bent": draws(2, noise[2]),
            "cosine": draws(2, noise[3], 1.0),
        },
        dict.fromkeys(("learned", "straight", "bent", "cosine"), measure_shapes.BatchSpread(0.4, 0.2)),
        100,
    )  # fmt: skip
    assert found.different == ["cosine"]
    assert abs(found.variance_of_draw.mean - 1 / 4) < 4 * found.variance_of_draw.error < 0.1
    assert found.variance_of_batch.mean == pytest.approx(1 / 4)
    # the relative error of a ratio of two variances of 100 normal numbers is near √(2·2/99)
    assert found.variance_of_batch.error == pytest.approx(np.sqrt(4 / 99) / 4, rel=0.05)
    learned = found.by_name["learned"]
    assert learned.one_draw == pytest.approx(1, rel=0.05)
    assert len(learned.t) == len(learned.integrand) == measure_shapes.BINS


def test_what_compresses_to_nothing_and_what_does_not():
    flat = compressors(np.zeros((50, 16, 16, 3), np.float32))
    noisy = compressors(np.random.default_rng(0).uniform(-1, 1, (50, 16, 16, 3)).astype(np.float32))
    assert flat.lzma < 0.1
    assert flat.png < 1.5
    assert 7.9 < noisy.lzma < 8.1
    assert 8 < noisy.png < 9.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma_min": 5.0}, "--gamma-min < --gamma-max"),
        ({"ode_images": 1}, "at least 2 for an error bar"),
        ({"batches": 5}, "--batches must be at least 6"),
        ({"chains": (0,)}, "at least 1"),
        ({"chains": ()}, "--chains needs at least one value"),
        ({"fourier": ()}, "--fourier needs at least one value"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"blocks": -1}, "--blocks must be at least 0"),
    ],
)
def test_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["default"], **changes)

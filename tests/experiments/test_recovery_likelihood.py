"""Recovery likelihood and prior holes: a whole small run, the hole, Gaussian kernels, energies that are known."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shown import metrics_of

from experiments.kit.plane import lattice
from experiments.recovery_likelihood.chains import draw_by_moments
from experiments.recovery_likelihood.config import PRESETS
from experiments.recovery_likelihood.gaussian_kernels import reverse_moments
from experiments.recovery_likelihood.levels import image_levels, ladder_of, process
from experiments.recovery_likelihood.measure_latent import farthest_axes
from experiments.recovery_likelihood.measure_plane import GAUSSIAN, Curve, Drawn, calls_to_match
from experiments.recovery_likelihood.modes import HOLE_MASS, LIMITS, hole_level, modes
from experiments.recovery_likelihood.sprites import ImageChain

SMALL = PRESETS["smoke"]


@pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")
def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("The prior hole", "in the hole", "gradients of the energy", "aggregate posterior", "Long chains"),
        "plane-samples.png kernels.png weights.png plane-costs.png latents.png prior-images.png training.png "
        "images.png long-images.png long-distances.png",
    )
    assert len(metrics["plane"]) == 7
    assert [row["calls"] for row in metrics["images"]] == [5, 5, 2, None]
    assert len(metrics["priors"]) == 6


@pytest.mark.slow
def test_a_thousandth_of_the_data_lies_in_the_hole():
    mixture, n = modes(), 50_000
    x = mixture.sample(jax.random.key(0), n)
    share = float(np.mean(mixture.log_density(x) < hole_level(mixture)))
    assert share == pytest.approx(HOLE_MASS, abs=5 * (HOLE_MASS / n) ** 0.5)


def test_moments_of_a_reverse_kernel_are_those_of_bayes_rule():
    """By quadrature of p(x_s) p(x_t | x_s), from ¾ to ½, where x_t lies beside the middle."""
    mixture, t, s = modes(), 0.5, 0.25
    x = np.array([[0.3, 0.2]], np.float32)
    alpha, sigma = (np.asarray([of(s), of(t)], np.float64) for of in (process().alpha, process().sigma))
    a = alpha[1] / alpha[0]
    variance = sigma[1] ** 2 - (a * sigma[0]) ** 2
    points = lattice((2 * LIMITS[0], 2 * LIMITS[1]), 300).reshape(-1, 2)
    log_p = np.asarray(mixture.perturbed(alpha[0], sigma[0]).log_density(jnp.asarray(points)), np.float64)
    weight = np.exp(log_p - ((x - a * points) ** 2).sum(-1) / (2 * variance))
    weight /= weight.sum()
    mean = weight @ points
    covariance = (weight[:, None] * (points - mean)).T @ (points - mean)
    found = reverse_moments(mixture, process(), jnp.asarray(x), t, s)
    np.testing.assert_allclose(found[0][0], mean, atol=2e-4)
    np.testing.assert_allclose(found[1][0], covariance, atol=2e-4)


def test_the_best_gaussian_kernels_keep_mean_and_covariance():
    """By the laws of total expectation and covariance, in any number of steps, whatever else they lose."""
    n, mixture = 20_000, modes()
    x = np.asarray(jax.jit(draw_by_moments, static_argnums=2)(None, jax.random.split(jax.random.key(0), n), 3))
    weights, means = np.asarray(mixture.weights), np.asarray(mixture.means)
    mean = weights @ means
    covariance = np.asarray(mixture.covariances)[0] + (weights[:, None] * (means - mean)).T @ (means - mean)
    # the prior of the process is N(0, I), and a share of exp(−5) of the data's signal reaches its end
    np.testing.assert_allclose(x.mean(0), mean, atol=5 * n**-0.5 + 0.01)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=5 * n**-0.5 * 1.5 + 0.01)


def still() -> ImageChain:
    """The chain of data that are black images, whose energies under noise are known: ‖x‖²/2σ²."""
    chain = ImageChain(ladder_of(image_levels(3, 0.1), 0.4, 0.1), None, 0.1, 2)

    def network(_, x, s):
        std = chain.std(s)
        return std * (1 / std**2 - 1) * (x**2).sum((1, 2, 3)) / 2

    return chain._replace(net=SimpleNamespace(apply=network))


@pytest.mark.slow
def test_the_exact_energy_has_no_error_and_removes_all_noise():
    chain, key = still(), jax.random.key(0)
    shape = (4, 4, 4, 1)
    np.testing.assert_allclose(chain.score_loss(key, None, (jnp.zeros(shape),)), 0, atol=1e-8)
    noise = 0.1 * jax.random.normal(key, shape)
    np.testing.assert_allclose(chain.denoised(None, noise), 0, atol=1e-6)
    # x̂0 is the mean of an image with the data's noise given one with that of the first level: σ is .01/.46
    np.testing.assert_allclose(chain.gaussian(None, jax.random.split(key, 4), shape[1:]), 0, atol=5 * 0.0215)


def test_chains_of_images_reach_the_noise_of_the_data_and_stay():
    """Langevin dynamics of ε in N(0, v) settles at v/(1 − ε/4v): here ε/v is .4/(1 + detail/β) or a little less."""
    chain, keys = still(), jax.random.split(jax.random.key(0), 200)
    x = jax.jit(lambda keys: chain.draw(None, keys, 30, (4, 4, 1)))(keys)
    path = jax.jit(lambda keys, x: chain.go_on(None, keys, x, 2, 20))(keys, x)
    variance = 0.1**2
    step = float(chain.ladder.step_sizes[0] / chain.ladder.transition(1 / 3)[0] ** 2)
    settled = variance / (1 - step / (4 * variance))
    error = 5 * (2 / x.size) ** 0.5
    assert float(path[-1].var()) / settled == pytest.approx(1, abs=error)
    assert float(x.var()) / settled == pytest.approx(1, abs=error + 0.05)  # its kernel is a little narrower


def test_the_coordinates_that_differ_most_are_found():
    z = np.random.default_rng(0).standard_normal((4000, 4))
    z[:, 3] = 0.8 * z[:, 1] + 0.6 * z[:, 3]  # each still N(0, 1)
    assert farthest_axes(z) == (1, 3)


def test_a_gaussian_chain_matches_where_both_measures_do():
    of = Drawn(4, 120, np.zeros((1, 2)), np.zeros((2, 8)), np.full(2, 0.1), np.ones(2), np.full(2, 2.0), 1.0)
    curve = Curve(np.array([4, 30, 120]), np.array([0.3, 0.05, 0.01]), np.array([5.0, 3.0, 1.5]))
    chains = {"energies": {4: of, 6: of._replace(mmds=np.ones(2))}}
    assert calls_to_match(chains, {GAUSSIAN: curve}) == {4: 120, 6: None}


def test_what_could_only_fail_later_is_refused():
    for flags, message in [
        ({"seeds": 1}, "--seeds must be at least 2 for an error bar"),
        ({"plane_levels": (2, 2)}, "--plane-levels must differ"),
        ({"plane_hidden": (8, 0)}, "--plane-hidden are numbers of at least 1"),
        ({"latents": 1}, "--latents must be at least 2 because two of them are shown"),
        ({"buffer": 4}, "--buffer must be at least 8 the batch of a seed"),
        ({"data_noise": 0.0}, r"--data-noise must lie in \(0, 1\)"),
        ({"prior_learning_rate": 0.0}, "--prior-learning-rate must be positive"),
        ({"reinitialise": 2.0}, "--reinitialise is a probability"),
        ({"held_out": 1.0}, "--held-out is a share"),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(SMALL, **flags)

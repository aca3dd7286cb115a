"""The mixture experiment: a whole small run, its helpers against mathematics, and what it refuses."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import gmm_scores
from experiments import gmm_scores_draws as draws
from experiments import gmm_scores_fields as fields
from jaxgen.data import seminar_mixture, student_mixture


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole smoke run."""
    root = tmp_path_factory.mktemp("runs")
    gmm_scores.main(replace(gmm_scores.PRESETS["smoke"], runs=root, progress=False))
    (directory,) = (root / "gmm_scores").iterdir()
    return directory


def test_a_run_leaves_its_report(finished):
    page = (finished / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for words in ("p * N(0, σ² I)", "Mode weights", "Where to end", "Heun", "python -m"):
        assert words in page, words
    figures = {file.name for file in (finished / "figures").iterdir()}
    assert figures == {
        "mixture.png", "fields.png", "errors.png", "weighted-errors.png", "bias.png", "trajectories.png",
        "starts.png", "many-fields.png", "error-by-sigma.png", "annealing.png", "samples.png", "mmd.png", "weights.png",
    }  # fmt: skip
    metrics = json.loads((finished / "metrics.json").read_text())
    rows = {row["sampler"]: row for row in metrics["samplers"]}
    assert rows["draws of p"]["error"] < 5 * np.sqrt(0.25 / 200)
    assert 0.5 < rows["draws of p"]["MMD / floor"] < 2
    assert len(rows) == 14
    assert [row["σ"] for row in metrics["score_errors"]] == [1, 3, 7]
    weight = student_mixture(gmm_scores.Config().seed).weights[0]
    assert metrics["mixture"]["weights"][0] == pytest.approx(float(weight))
    for row in metrics["score_errors"]:  # untrained networks are farther from p than q's own score is
        assert row["to p, weighted"][0] > 0


def test_the_ladders_have_one_ratio_and_pass_one():
    config = gmm_scores.Config()
    ladder = gmm_scores.ladders(config)
    np.testing.assert_allclose([ladder.homework[0], ladder.homework[-1], len(ladder.homework)], [20, 1, 10])
    np.testing.assert_allclose(ladder.longer[:10], ladder.homework)
    assert ladder.longer[-1] == pytest.approx(config.sigma_min)
    ratios = ladder.longer[:-1] / ladder.longer[1:]
    assert np.all(ratios <= ratios[0] * (1 + 1e-9))


@pytest.mark.parametrize(("sigma", "modes"), [(1.0, 2), (3.0, 2), (7.0, 1)])
def test_the_modes_left_under_noise(sigma, modes):
    """.8/.2 at ±(5, 5): two modes at σ = 1 and 3, one at 7."""
    assert fields.modes_left(seminar_mixture(), sigma) == modes


def test_root_mean_squares_are_weighted():
    error = np.array([[3.0, 4.0], [0.0, 1.0]])
    assert fields.rms(error) == pytest.approx(np.sqrt(13))
    assert fields.rms(error, np.array([0.0, 2.0])) == pytest.approx(1)


def test_the_error_by_sigma_of_a_perfect_network_is_nothing_and_of_none_is_the_score():
    """E‖σ ∇log q_σ‖² of a wide σ is nearly 2, that of the noise itself."""
    mixture = seminar_mixture()
    exact = SimpleNamespace(apply=lambda params, x, sigma: params * mixture.perturbed(1.0, sigma).score(x))
    fit = lambda scale: [SimpleNamespace(params=jnp.float32(scale))]
    models = SimpleNamespace(mixture=mixture, net=exact, single={3.0: fit(1)}, homework=fit(1), longer=fit(0))
    lines = fields.error_by_sigma(models, np.array([0.5, 3.0, 100.0]), jax.random.key(0))
    of_three = lines["σ = 3 only"][1]
    assert of_three[1] < 1e-5
    assert min(of_three[0], of_three[2]) > 0.1
    sigmas, errors = lines["all σ ≥ 1"]
    assert sigmas.tolist() == [3, 100]
    assert errors.max() < 1e-5
    np.testing.assert_allclose(lines["all σ ≥ 0.5"][1][-1], np.sqrt(2), rtol=0.05)


def test_moments_and_matched_starts_are_those_of_the_noised_mixture():
    mixture, sigma, n = student_mixture(3), 2.0, 200_000
    mean, covariance = draws.moments(mixture)
    x = np.asarray(mixture.sample(jax.random.key(0), n), np.float64)
    error = np.sqrt(covariance.diagonal().max() / n)
    np.testing.assert_allclose(mean, x.mean(0), atol=5 * error)
    np.testing.assert_allclose(covariance, np.cov(x.T), atol=0.02 * covariance.max())
    start = draws.matched_start(mixture, jax.random.normal(jax.random.key(1), (n, 2)), sigma)
    np.testing.assert_allclose(start.mean(0), mean, atol=5 * error + 5 * sigma / np.sqrt(n))
    np.testing.assert_allclose(np.cov(np.asarray(start).T), covariance + sigma**2 * np.eye(2), atol=0.5)


def test_c1_14_ascent_ends_in_the_modes_and_langevin_does_not():
    """From the drawer's own starts, by the exact score; the gradient at the ends is nothing."""
    config, mixture = replace(gmm_scores.PRESETS["smoke"], langevin_steps=400), student_mixture(3)
    draw = draws.Drawer(config, SimpleNamespace(mixture=mixture, net=None), gmm_scores.ladders(config), half=12.0)
    ascent, chain = (draw.walk(0.0, 0, noise_scale=scale) for scale in (0.0, 1.0))
    assert ascent.shape == (201, draw.FEW + config.samples, 2)
    np.testing.assert_array_equal(ascent[0], chain[0])
    np.testing.assert_allclose(mixture.score(jnp.asarray(ascent[-1])), 0, atol=1e-3)
    assert len(np.unique(np.round(ascent[-1], 2), axis=0)) == 2
    speed = np.linalg.norm(mixture.score(jnp.asarray(chain[-1])), axis=-1)
    assert speed.mean() > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--steps must be at least 1"),
        ({"levels": 1}, "--levels must be at least 2"),
        ({"samples": 50}, "--samples of at least 100"),
        ({"sigmas": (3.0, 1.0)}, "--sigmas are two or three ascending"),
        ({"sigmas": (1.0,)}, "--sigmas"),
        ({"sigma_min": 1.5}, "0 < --sigma-min < 1 < --sigma-max"),
        ({"step_size": 2.0}, "--step-size"),
        ({"seed": -1}, "seed"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        replace(gmm_scores.PRESETS["smoke"], **change)

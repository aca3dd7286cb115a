"""The NCSN toy: a whole small run, its helpers against mathematics, and what it refuses."""

import json
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ive

from experiments import ncsn_toy
from experiments import ncsn_toy_manifold as manifold
from experiments import ncsn_toy_objectives as objectives
from experiments import ncsn_toy_report as figures
from jaxgen.data import seminar_mixture


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole smoke run."""
    root = tmp_path_factory.mktemp("runs")
    ncsn_toy.main(replace(ncsn_toy.PRESETS["smoke"], runs=root, progress=False))
    (directory,) = (root / "ncsn_toy").iterdir()
    return directory


def test_a_run_leaves_its_report(finished):
    page = (finished / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for words in ("Empty regions", "Mode weights", "Data on a curve", "Objectives", "SSM-VR", "python -m"):
        assert words in page, words
    names = {file.name for file in (finished / "figures").iterdir()}
    assert names == {
        "score-fields.png", "score-error.png", "error-by-density.png", "langevin.png", "annealed.png", "shares.png",
        "ring-loss.png", "ring-fields.png", "objectives.png", "gradient-noise.png", "dimension.png",
    }  # fmt: skip
    metrics = json.loads((finished / "metrics.json").read_text())
    rows = {row["method"]: row for row in metrics["mode_weights"]}
    assert abs(rows["draws of p"]["share at (5, 5)"][0] - 0.8) < 5 * np.sqrt(0.16 / 200)
    # twenty steps are too few for any chain of the exact score to cross
    assert rows["Langevin, exact"]["changed sides"] < 0.1
    ratios = {(row["d"], row["objective"]): row for row in metrics["by_dimension"]}
    assert set(ratios) == {(d, name) for d in (2, 4) for name in objectives.NAMES}
    assert all(ratios[d, "DSM"]["variance of the gradient / DSM's"] == 1 for d in (2, 4))


def test_relative_errors_are_summed_in_bins_of_density():
    rng = np.random.default_rng(0)
    error, target = rng.normal(size=(2, 50, 2))
    log_density = rng.uniform(-3, 0, 50)
    found = figures.by_density(error, target, log_density, np.array([-4.0, -3.0, -2.0, -1.0, 0.0]))
    assert np.isnan(found[0])
    inside = (log_density >= -2) & (log_density < -1)
    expected = np.linalg.norm(error[inside]) / np.linalg.norm(target[inside])
    assert found[2] == pytest.approx(expected)


@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_the_rings_score_is_the_gradient_of_its_density(noise):
    """Of ∫ N(x; u(θ), s² I) dθ/2π, taken over many angles: no Bessel function in sight."""
    with jax.enable_x64(True):
        angles = 2 * np.pi * np.arange(4000) / 4000
        ring = jnp.stack([jnp.cos(angles), jnp.sin(angles)], -1)

        def log_density(x):
            return jax.nn.logsumexp(-0.5 * jnp.sum((x - ring) ** 2, -1) / noise**2)

        x = jnp.array([[0.5, 0.2], [-1.0, 0.1], [0.0, 1.3], [1e-2, 0.0]])
        np.testing.assert_allclose(
            manifold.ring_score(x, noise), jax.vmap(jax.grad(log_density))(x), rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_the_least_loss_is_minus_half_the_fisher_information(noise):
    def integrand(r):
        z = r / noise**2
        density = r / noise**2 * np.exp(-((r - 1) ** 2) / (2 * noise**2)) * ive(0, z)  # of the radius
        return density * ((ive(1, z) / ive(0, z) - r) / noise**2) ** 2

    information = quad(integrand, 0, 1 + 12 * noise, points=[1.0])[0]
    np.testing.assert_allclose(manifold.least_loss(noise), -information / 2, rtol=0.02)
    assert manifold.least_loss(0.0) == -np.inf


def test_c1_9_every_objective_plus_its_constant_is_the_fisher_divergence():
    """Within five standard errors, at a score that is not the best: .7 times the exact one."""
    mixture, sigma, n = seminar_mixture(), 0.5, 40_000
    known = objectives.constants(sigma)
    x = mixture.sample(jax.random.key(1), n)
    for name, loss in objectives.objectives(sigma).items():
        q = mixture.perturbed(1.0, sigma if name == "DSM" else 0.0)
        values = np.asarray(loss(jax.random.key(2), lambda x, q=q: 0.7 * q.score(x), x), np.float64)
        y = q.sample(jax.random.key(3), n)
        # ½E‖.7 s − s‖²
        expected = 0.5 * 0.09 * np.sum(np.square(q.score(y)), -1)
        error = np.hypot(values.std(), expected.std()) / np.sqrt(n) + 0.01
        assert abs(values.mean() + known[name] - expected.mean()) < 5 * error, name


def test_the_total_variance_is_the_covariances_trace():
    rng = np.random.default_rng(0)
    scale = np.array([1.0, 2.0, 3.0])
    draws = [{"a": rng.normal(size=2) * scale[:2], "b": rng.normal(size=1) * scale[2:]} for _ in range(20_000)]
    assert objectives.total_variance(draws) == pytest.approx(14, rel=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clean_steps": 0}, "--clean-steps must be at least 1"),
        ({"seeds": 1}, "--seeds must be at least 2"),
        ({"starts": 10}, "--starts of at least 100"),
        ({"sigma_last": 30.0}, "--sigma-last < --sigma-first"),
        ({"step_size": 1.5}, "--step-size"),
        ({"ring_noises": (0.1, 0.2)}, "--ring-noises ascend from 0"),
        ({"dims": (512, 2)}, "--dims ascend"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        replace(ncsn_toy.PRESETS["smoke"], **change)


def test_c1_9_sliced_gradients_are_unbiased_estimates_of_the_implicit_one():
    """On the same data: in every parameter the mean difference is within six standard errors of none."""
    gradients = objectives.Gradients(replace(ncsn_toy.PRESETS["smoke"], objective_steps=1), 2)

    def drawn(name):
        found = [gradients.of[name](jax.random.key(i), gradients.params, 1.0) for i in range(400)]
        return np.stack([np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for g in found])

    exact = drawn("ISM")
    for name in ("SSM", "SSM-VR"):
        difference = drawn(name) - exact
        error = difference.std(0) / np.sqrt(len(difference))
        assert error.max() > 0
        assert np.all(np.abs(difference.mean(0)) < 6 * error + 1e-6), name


def test_the_gradients_law_has_the_seminars_weights_and_distance():
    gradients = objectives.Gradients(replace(ncsn_toy.PRESETS["smoke"], objective_steps=1), 8)
    x = np.asarray(gradients.draw(jax.random.key(0), 20_000))
    near = x.sum(-1) > 0
    assert abs(near.mean() - 0.8) < 5 * np.sqrt(0.16 / 20_000)
    np.testing.assert_allclose(np.linalg.norm(x[near].mean(0) - x[~near].mean(0)), 10 * np.sqrt(2), rtol=0.01)
    np.testing.assert_allclose(np.cov(x[near].T), np.eye(8), atol=0.06)

"""The mixture experiment: a whole small run, its helpers against mathematics, and what it refuses."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shown import Shown, metrics_of

from experiments import gmm_scores
from experiments import gmm_scores_draws as draws
from experiments import gmm_scores_fields as fields
from experiments import gmm_scores_samples as samples
from experiments.toy_sampling import Judge, half_width
from jaxgen.distributions import random_mixture, song_ermon_mixture
from jaxgen.samplers import Sampler

SMOKE = gmm_scores.PRESETS["smoke"]


class Net:
    """A network in closed form: `score` of (params, x, sigma)."""

    def __init__(self, score):
        self.apply = score


def fits(*params):
    return [SimpleNamespace(params=jnp.float32(p)) for p in params]


def models_of(score, *params, sigmas=(1.0, 3.0, 7.0)):
    """Models whose every network is one score with these parameters by seed."""
    return gmm_scores.Models(
        random_mixture(3), Net(score), {sigma: fits(*params) for sigma in sigmas}, fits(*params), fits(*params)
    )


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        (
            "is not yet the score of q",
            "does not restore them",
            "p * N(0, σ² I)",
            "Mode weights",
            "Where to end",
            "Heun",
            "python -m",
        ),
        "mixture.png fields.png errors.png weighted-errors.png bias.png trajectories.png starts.png "
        "many-fields.png error-by-sigma.png annealing.png samples.png mmd.png weights.png",
    )
    rows = {row["sampler"]: row for row in metrics["samplers"]}
    assert abs(rows["draws of p"]["error"]["mean"]) < 5 * np.sqrt(0.25 / 200)
    assert 0.5 < rows["draws of p"]["MMD / floor"]["mean"] < 2
    assert len(rows) == 17
    assert [row["σ"] for row in metrics["score_errors"]] == [1, 3, 7]
    weight = random_mixture(gmm_scores.Config().seed).weights[0]
    assert metrics["mixture"]["weights"][0] == pytest.approx(float(weight))
    for row in metrics["score_errors"]:  # untrained networks are farther from p than q's own score is
        assert row["to p, weighted"]["mean"] > 0


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
    assert fields.modes_left(song_ermon_mixture(), sigma) == modes


@pytest.mark.slow
def test_the_error_by_sigma_of_a_perfect_network_is_nothing_and_of_none_is_the_score():
    """E‖σ ∇log q_σ‖² of a wide σ is nearly 2, that of the noise itself."""
    mixture = song_ermon_mixture()
    exact = Net(lambda params, x, sigma: params * mixture.perturbed(1.0, sigma).score(x))
    models = gmm_scores.Models(mixture, exact, {3.0: fits(1)}, homework=fits(1), longer=fits(0))
    lines = fields.error_by_sigma(models, np.array([0.5, 3.0, 100.0]), jax.random.key(0))
    levels, of_three = lines["σ = 3 only"]
    assert levels.tolist() == [0.5, 3, 6, 100]
    assert of_three[1] < 1e-5
    assert min(of_three[0], of_three[2], of_three[3]) > 0.1
    sigmas, errors = lines["all σ ≥ 1"]
    assert sigmas.tolist() == [3, 100]
    assert errors.max() < 1e-5
    np.testing.assert_allclose(lines["all σ ≥ 0.5"][1][-1], np.sqrt(2), rtol=0.05)


@pytest.mark.slow
def test_moments_and_matched_starts_are_those_of_the_noised_mixture():
    mixture, sigma, n = random_mixture(3), 2.0, 200_000
    mean, covariance = draws.moments(mixture)
    x = np.asarray(mixture.sample(jax.random.key(0), n), np.float64)
    error = np.sqrt(covariance.diagonal().max() / n)
    np.testing.assert_allclose(mean, x.mean(0), atol=5 * error)
    np.testing.assert_allclose(covariance, np.cov(x.T), atol=0.02 * covariance.max())
    start = draws.matched_start(mixture, jax.random.normal(jax.random.key(1), (n, 2)), sigma)
    np.testing.assert_allclose(start.mean(0), mean, atol=5 * error + 5 * sigma / np.sqrt(n))
    np.testing.assert_allclose(np.cov(np.asarray(start).T), covariance + sigma**2 * np.eye(2), atol=0.5)


def test_the_flow_begins_as_it_is_said_to(monkeypatch):
    """By a sampler that stays where it is: N(0, σ₁² I) only by its name, else the moments of the noised data."""
    still = Sampler(lambda key, process, denoise, t, s, x, carry: (x, carry))
    monkeypatch.setattr(draws, "DDIM", still)
    monkeypatch.setattr(draws, "HEUN", still)
    config, mixture = replace(SMOKE, samples=20_000), random_mixture(3)
    draw = draws.Drawer(config, models_of(lambda params, x, sigma: -x, 0.0), gmm_scores.ladders(config), 12.0)
    begun = {name: method.draw(0) for name, method in draws.methods(draw).items() if name.startswith(("DDIM", "Heun"))}
    plain = begun.pop("DDIM, network [0.1, 20], from N(0, σ² I)")
    np.testing.assert_allclose(plain.mean(0), 0, atol=5 * 20 / np.sqrt(20_000))
    np.testing.assert_allclose(np.cov(plain.T), 400 * np.eye(2), atol=5 * 400 * np.sqrt(2 / 20_000))
    assert len(begun) == 3
    for matched in begun.values():
        np.testing.assert_allclose(matched, draws.matched_start(mixture, plain / 20, 20.0), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_emptier_half_of_the_square_is_the_emptier():
    """An error that grows with −log q is the larger there; of one that is even, the share of the loss is q's mass."""
    mixture = random_mixture(3)

    def score(params, x, sigma):
        law = mixture.perturbed(1.0, sigma)
        size = jnp.where(params > 0, 1.0, -law.log_density(x))[:, None]
        return law.score(x) + size * jnp.array([0.6, 0.8])

    growing, even = Shown(), Shown()
    fields.errors(growing, models_of(score, 0, 0), 12.0)
    fields.errors(even, models_of(score, 1, 1), 12.0)
    for sigma in ("1.0", "3.0", "7.0"):
        found = growing.metrics["halves"][sigma]
        assert found["error in the emptier half"] > 1.1 * found["error in the fuller half"]
        found = even.metrics["halves"][sigma]
        assert found["error in the emptier half"] == pytest.approx(1, rel=1e-4)
        assert found["error in the fuller half"] == pytest.approx(1, rel=1e-4)
        assert found["loss of the emptier half"] == pytest.approx(found["mass of the emptier half"], rel=1e-3)
        assert found["mass of the emptier half"] < 0.4
    # half the square about both modes: what is out there has less than 1 % of p * N(0, I)
    points = np.asarray(mixture.perturbed(1.0, 1.0).sample(jax.random.key(0), 20_000))
    low = np.quantile(fields.log_density(mixture, fields.lattice((-12.0, 12.0), fields.CELLS), 1.0), 0.5)
    out = np.mean(fields.log_density(mixture, points, 1.0) < low)
    assert even.metrics["halves"]["1.0"]["mass of the emptier half"] == pytest.approx(out, abs=1e-3)


@pytest.mark.slow
def test_c1_14_ascent_ends_in_the_modes_and_langevin_does_not():
    """From the drawer's own starts, by the exact scores of p and of p * N(0, 7² I); the gradient at the ends is 0."""
    config, mixture = replace(SMOKE, langevin_steps=1000), random_mixture(3)
    models = models_of(lambda params, x, sigma: mixture.perturbed(1.0, sigma).score(x), 0.0)
    draw = draws.Drawer(config, models, gmm_scores.ladders(config), half=12.0)
    for sigma, modes in ((0.0, 2), (7.0, 1)):
        ascent, chain = (draw.walk(sigma, 0, noise_scale=scale) for scale in (0.0, 1.0))
        law = mixture.perturbed(1.0, sigma)
        assert ascent.shape == (201, draw.FEW + config.samples, 2)
        np.testing.assert_array_equal(ascent[0], chain[0])
        np.testing.assert_allclose(law.score(jnp.asarray(ascent[-1])), 0, atol=1e-3)
        assert samples.places(ascent[-1]) == modes
        assert samples.last_moves(ascent) < 1e-2
        speed = np.linalg.norm(law.score(jnp.asarray(chain[-1])), axis=-1)
        assert speed.mean() > 0.5 / max(sigma, 1.0)


def test_c1_13_the_networks_of_one_sigma_are_held_against_q_and_against_p():
    """The exact score of q is 0 off from q's; that of p is 0 off from p's and as far from q's as these are apart."""
    mixture = random_mixture(3)
    of_q, of_p = Shown(), Shown()
    fields.errors(of_q, models_of(lambda params, x, sigma: mixture.perturbed(1.0, sigma).score(x), 0, 0), 12.0)
    fields.errors(of_p, models_of(lambda params, x, sigma: mixture.score(x), 0, 0), 12.0)
    for q, p in zip(of_q.metrics["score_errors"], of_p.metrics["score_errors"], strict=True):
        for weighting in ("weighted", "unweighted"):
            assert q[f"to q, {weighting}"][0] < 1e-5
            assert p[f"to p, {weighting}"][0] < 1e-5
            assert q[f"to p, {weighting}"][0] == pytest.approx(q[f"q to p, {weighting}"], rel=1e-4)
            assert q[f"q to p, {weighting}"] > 0.3
        assert p["to q, unweighted"][0] == pytest.approx(q["q to p, unweighted"], rel=1e-4)
        assert p["to q, weighted"][0] > 0.1
    assert "is the score of q" in of_q.findings[0]
    assert "is not yet the score of q" in of_p.findings[0]


@pytest.mark.slow
def test_the_steps_down_the_ladders_go_with_the_levels_variance():
    """With no score a level adds T ε_i = T ε σ_i² of variance to each chain, ε being that of σ = 1, on both ladders."""
    config = replace(SMOKE, samples=2000)
    ladder = gmm_scores.ladders(config)
    draw = draws.Drawer(config, models_of(lambda params, x, sigma: 0 * x, 0.0), ladder, 12.0)
    for kind, sigmas in (("homework", ladder.homework), ("longer", ladder.longer)):
        added = np.diff(draw.anneal(kind, 0), axis=0).var((1, 2))
        expected = config.level_steps * config.step_size * sigmas**2
        np.testing.assert_allclose(added, expected, rtol=5 * np.sqrt(2 / 4000))
    by_level = [np.diff(draw.walk(sigma, 0), axis=0).var() for sigma in (1.0, 7.0)]
    np.testing.assert_allclose(by_level, config.step_size * np.array([1, 49]), rtol=0.05)


@pytest.mark.slow
def test_the_denoised_samples_are_the_means_of_the_data():
    """x + σ² s is E[x0 | x] at the last level of the homework's ladder, here 1."""
    mixture = random_mixture(3)
    draw = draws.Drawer(
        SMOKE, models_of(lambda params, x, sigma: mixture.perturbed(1.0, sigma).score(x), 0.0),
        gmm_scores.ladders(SMOKE), 12.0,
    )  # fmt: skip
    x = jnp.asarray(draw.anneal("homework", 0)[-1])
    np.testing.assert_allclose(draw.denoised(0), mixture.posterior_mean(x, 1.0, 1.0), atol=1e-4)


@pytest.mark.slow
def test_done_when_two_a_briefly_trained_network_of_all_levels_recovers_the_mixture():
    """Weight within .02 and its sampling error, MMD within twice the floor; networks of one σ have q's score, not p's.

    A quarter of the experiment's training; the network that ends at σ = 1 does not know the levels below.
    """
    config = replace(
        SMOKE, steps=500, many_steps=4000, width=128, batch_size=256, samples=1500, levels=10, level_steps=100,
        progress=False,
    )  # fmt: skip
    mixture = random_mixture(3)
    models, ladder = gmm_scores.train(config, mixture), gmm_scores.ladders(config)
    draw, judge = draws.Drawer(config, models, ladder, half_width(mixture)), Judge(mixture, 1500, jax.random.key(0))
    found = [judge(draw.anneal("longer", seed)[-1]) for seed in range(2)]
    weight = float(mixture.weights[0])
    assert abs(np.mean([of.weight for of in found]) - weight) < 0.02 + np.sqrt(weight * (1 - weight) / 3000)
    assert np.mean([of.mmd for of in found]) < 2 * judge.floor

    lines = fields.error_by_sigma(models, np.array([0.1, 0.3, 1.0, 3.0, 7.0, 20.0]), jax.random.key(0))
    for sigma in (1.0, 3.0, 7.0):
        x, error = lines[f"σ = {sigma:g} only"]
        assert error[np.flatnonzero(x == sigma)[0]] < 0.15
        assert error[np.flatnonzero(x == 2 * sigma)[0]] > 0.5
    for name in ("all σ ≥ 1", "all σ ≥ 0.1"):
        assert lines[name][1].max() < 0.15
    short = lambda x: models.net.apply(models.homework[0].params, x, 0.1)
    x = mixture.sample(jax.random.key(1), 2000) + 0.1 * jax.random.normal(jax.random.key(2), (2000, 2))
    exact = mixture.perturbed(1.0, 0.1).score(x)
    assert 0.1 * fields.rms(short(x) - exact) > 2 * lines["all σ ≥ 0.1"][1][0]
    shown = Shown()
    fields.errors(shown, models, draw.half)
    assert "is the score of q" in shown.findings[0]

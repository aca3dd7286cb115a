"""The NCSN toy: a whole small run, its helpers against mathematics, and what it refuses."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ive
from shown import Shown, metrics_of

from experiments import ncsn_toy
from experiments import ncsn_toy_gradients as gradient_noise
from experiments import ncsn_toy_manifold as manifold
from experiments import ncsn_toy_objectives as objectives
from experiments import ncsn_toy_report as figures
from experiments import ncsn_toy_weights as weights
from experiments.timing import Spread, Timing
from experiments.toy_training import Fit
from jaxgen.distributions import song_ermon_mixture
from jaxgen.metrics import MeanAndError, mean_and_error

SMOKE = ncsn_toy.PRESETS["smoke"]


class Net:
    """A network in closed form: `score` of (params, x, sigma)."""

    def __init__(self, score):
        self.apply = lambda params, x, sigma=1.0: score(params, x, sigma)


def models_of(score, clean, many, sigmas=(20.0, 4.0, 1.0)):
    """Models of one closed form, whose parameters by seed tell the networks from each other."""
    return ncsn_toy.Models(
        song_ermon_mixture(),
        np.array(sigmas),
        Net(score),
        [jnp.float32(p) for p in clean],
        [jnp.float32(p) for p in many],
    )


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        (
            "does not restore them",
            "does not fill the gap",
            "no longer falls",
            "Empty regions",
            "Mode weights",
            "Data on a curve",
            "Objectives",
            "SSM-VR",
            "python -m",
        ),
        "score-fields.png score-error.png error-by-density.png langevin.png annealed.png shares.png "
        "ring-loss.png ring-fields.png objectives.png gradient-noise.png dimension.png",
    )
    rows = {row["method"]: row for row in metrics["mode_weights"]}
    assert abs(rows["draws of p"]["share at (5, 5)"]["mean"] - 0.8) < 5 * np.sqrt(0.16 / 200)
    # twenty steps are too few for any chain of the exact score to cross
    assert rows["Langevin, exact"]["changed sides"] < 0.1
    ratios = {(row["d"], row["objective"]): row for row in metrics["by_dimension"]}
    assert set(ratios) == {(d, name) for d in (2, 4) for name in objectives.NAMES}
    assert all(ratios[d, "DSM"]["variance of the gradient / DSM's"]["mean"] == 1 for d in (2, 4))


@pytest.mark.slow
def test_empty_regions_of_exact_networks_have_no_error_and_of_silent_ones_all():
    """The clean network is held against p's score, that of all levels against that of p * N(0, σ² I)."""
    mixture, config = song_ermon_mixture(), SimpleNamespace(seeds=2)
    # a negative parameter makes a multiple of p's own score, a positive one of that at the network's σ
    score = lambda params, x, sigma: jnp.abs(params) * mixture.perturbed(1.0, jnp.where(params > 0, sigma, 0)).score(x)
    relative, of_levels = "relative error where p < 1e-6", "relative error of all levels where p < 1e-6"
    nearly, silent = Shown(), Shown()
    figures.low_density(nearly, models_of(score, (-0.9, -1), (0.99, 0.97)), config)
    figures.low_density(silent, models_of(score, (0, 0), (0, 0)), config)
    found, none = nearly.metrics["low_density"], silent.metrics["low_density"]
    np.testing.assert_allclose(found[relative], (0.05, 0.05), rtol=1e-3)
    np.testing.assert_allclose(none[relative], (1, 0), atol=1e-6)
    for sigma in ("20.0", "4.0", "1.0"):
        np.testing.assert_allclose(found[of_levels][sigma], (0.02, 0.01), rtol=1e-3)
        np.testing.assert_allclose(none[of_levels][sigma], (1, 0), atol=1e-6)
    assert found["share of the square where p < 1e-6"] == pytest.approx(0.59, abs=0.02)
    assert "does not grow" in nearly.findings[0]


@pytest.mark.slow
def test_every_method_asks_its_own_network():
    """Of the first seed only the clean network is finite, of the second only that of all levels."""
    models = models_of(lambda params, x, sigma: params * x, (0, np.nan), (np.nan, 0))
    draw = weights.Chains(models, SMOKE)
    finite = [{name for name, path in draw(seed).items() if np.isfinite(path).all()} for seed in (0, 1)]
    exact = {"Langevin, exact", "annealed, exact"}
    assert finite == [exact | {"Langevin, learned"}, exact | {"annealed, learned", "the same, 3 × the steps"}]


@pytest.mark.slow
def test_chains_take_the_steps_of_their_levels():
    """With no score a level adds T ε σ_i²/σ_L² of variance, three times as much with three times the steps."""
    config = replace(SMOKE, starts=2000)
    paths = weights.Chains(models_of(lambda params, x, sigma: 0 * x, (0,), (0,), sigmas=(9.0, 3.0, 0.5)), config)(0)
    steps = config.level_steps * config.step_size * np.array([18.0, 6.0, 1.0]) ** 2
    for name, times in (("annealed, learned", 1), ("the same, 3 × the steps", 3)):
        added = np.diff(paths[name], axis=0).var((1, 2))
        np.testing.assert_allclose(added, times * steps, rtol=5 * np.sqrt(2 / 4000))
    moved = paths["Langevin, learned"][-1] - paths["Langevin, learned"][0]
    np.testing.assert_allclose(moved.var(), config.langevin_steps * config.step_size, rtol=5 * np.sqrt(2 / 4000))


@pytest.mark.slow
def test_shares_and_changes_of_sides_are_counted(monkeypatch):
    """All begin at (−5, −5); a fifth in one seed and two fifths in the other end at (5, 5), but for one far off."""
    config, begin = replace(SMOKE, starts=100, repeats=2), np.full((200, 2), -5.0)

    def paths_of(seed):
        end = begin.copy()
        end[: 40 * (seed + 1)] = 5.0
        end[0] = 20.0
        return dict.fromkeys((weights.PLAIN, weights.EXACT, weights.LEARNED, weights.PATIENT), np.stack([begin, end]))

    expected = {weights.PLAIN: 0.5, weights.EXACT: 0.78, weights.PATIENT: 0.79}
    monkeypatch.setattr(weights, "Chains", lambda models, config: paths_of)
    monkeypatch.setattr(weights, "in_law", lambda models, config: expected)
    shown = Shown()
    weights.mode_weights(shown, models_of(None, (0,), (0,)), config)
    for row in shown.tables[0][0][:-1]:
        assert row["share at (5, 5)"].mean == pytest.approx(0.3)
        assert row["changed sides"] == pytest.approx(0.3)
        assert row["error"].mean == pytest.approx(-0.5)
        assert row["far away"] == pytest.approx(1 / 200)
        assert row["exact scores, in law"] == expected.get(row["method"])
    # the first half of the first seed's chains is drawn
    assert "end 40% (exact)" in shown.captions["langevin"]


@pytest.mark.slow
def test_c1_11_briefly_trained_scores_restore_the_weights_as_exact_ones_do():
    """A fifth of the training: within .02 and two standard errors of what exact scores give in law, .783."""
    config = replace(
        SMOKE, clean_steps=600, many_steps=3000, batch_size=256, width=128, starts=1500, langevin_steps=200, levels=10,
        level_steps=100, progress=False,
    )  # fmt: skip
    models = ncsn_toy.train(config, song_ermon_mixture())
    expected, draw = weights.in_law(models, config), weights.Chains(models, config)
    ends = [{name: path[-1].sum(-1) > 0 for name, path in draw(seed).items()} for seed in (0, 1)]
    share = {name: float(np.mean([of[name] for of in ends])) for name in ends[0]}
    error = 2 * np.sqrt(0.17 / 3000)
    assert abs(share["annealed, learned"] - expected["annealed, exact"]) < 0.02 + error
    assert abs(share["annealed, exact"] - expected["annealed, exact"]) < 2 * error
    assert 0.78 < expected["annealed, exact"] < 0.79 < expected["the same, 3 × the steps"] < 0.8
    for name in ("Langevin, exact", "Langevin, learned"):
        assert abs(share[name] - 0.51) < 0.1  # lost: p has .8
    points = figures.lattice(figures.LIMITS, 60)
    often = figures.log_density(models.mixture, points) > np.log(1e-3)
    for sigma, params in ((0.0, models.clean[0]), (4.0, models.many[0])):
        target = figures.exact_field(models.mixture, points, sigma)
        wrong = figures.learned_field(models.net, params, points, sigma or 1.0) - target
        assert figures.relative_errors([wrong, wrong], target, often).mean < 0.15


@pytest.mark.slow
def test_errors_grow_and_noise_fills_the_gap_by_a_factor_of_two():
    def told(*means):
        near, far, noised = (MeanAndError(mean, 0.01) for mean in means)
        return figures.empty_regions(near, far, 0.59, 20.0, noised)

    mended = told(0.25, 0.53, 0.26)
    assert " grows from 25.0 ± 1.0% where p > 1e-3 to 53.0 ± 1.0% where p < 1e-6" in mended
    assert "fills the gap: at σ = 20 the network of all levels is off by 26.0 ± 1.0%" in mended
    for words in ("does not grow", "does not fill the gap"):
        assert words in told(0.27, 0.53, 0.27)


@pytest.mark.slow
def test_steps_are_too_few_where_more_of_them_bring_exact_scores_nearer():
    row = {"share at (5, 5)": MeanAndError(0.6, 0.001), "changed sides": 0.5}
    rows = dict.fromkeys((weights.PLAIN, weights.EXACT, weights.LEARNED, weights.PATIENT), row)
    told = lambda patient: weights.weights_told(0.8, rows, {weights.EXACT: 0.783, weights.PATIENT: patient}, 100)
    assert "too few to mix" in told(0.793)
    assert "too few" not in told(0.783)
    assert told(0.783).count("does not restore them") == 2


def test_relative_errors_are_summed_in_bins_of_density():
    rng = np.random.default_rng(0)
    error, target = rng.normal(size=(2, 50, 2))
    log_density = rng.uniform(-3, 0, 50)
    found = figures.by_density(error, target, log_density, np.array([-4.0, -3.0, -2.0, -1.0, 0.0]))
    assert np.isnan(found[0])
    inside = (log_density >= -2) & (log_density < -1)
    expected = np.linalg.norm(error[inside]) / np.linalg.norm(target[inside])
    assert found[2] == pytest.approx(expected)


@pytest.mark.first_by_day
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
    np.testing.assert_allclose(manifold.least_loss(noise), -information / 2, rtol=1e-3)
    assert manifold.least_loss(0.0) == -np.inf
    x = manifold.ring(jax.random.key(0), 100_000, noise=noise)
    values = -0.5 * np.sum(np.square(manifold.ring_score(x, noise)), -1, dtype=np.float64)
    assert abs(manifold.least_loss(noise) - values.mean()) < 5 * values.std() / np.sqrt(len(values))


class Taught:
    """Stands in for training: hands back the first parameters, with the loss and what is followed at them."""

    def __init__(self, loss, *, follow, points=50, **options):
        self._loss, self._follow, self._points, self.every = jax.jit(loss), jax.jit(follow), points, 1

    def __call__(self, key, params, *args):
        losses = [self._loss(jax.random.fold_in(key, i), params, *args).mean() for i in range(self._points)]
        followed = {name: np.full(self._points, value) for name, value in self._follow(params, *args).items()}
        return Fit(params, np.arange(self._points) + 1, {"loss": np.array(losses)} | followed)


def taught(monkeypatch, module, score, params):
    """Makes a module's networks one score in closed form, the trainings' parameters being these in turn."""
    left = iter(params)
    monkeypatch.setattr(module, "ScoreNet", lambda *args, **options: Net(score))
    monkeypatch.setattr(module, "initial", lambda net, key: next(left))
    monkeypatch.setattr(module, "Training", Taught)


@pytest.mark.slow
def test_the_ring_is_learned_under_its_noise_and_held_against_its_least_loss(monkeypatch):
    """c times the exact score of a noise: (1 − c)² times the least loss above it, also by the training's own draws."""
    noises, scales = (0.0, 0.1, 0.3), (0.9, 1.2)

    def score(params, x, sigma):
        radius = jnp.linalg.norm(x, axis=-1, keepdims=True)
        exact = manifold.ring_score(x, jnp.maximum(params["noise"], 1e-3))
        return params["scale"] * jnp.where(params["noise"] > 0, exact, 1e3 * (1 - radius) * x / radius)

    params = [{"noise": jnp.float32(noise), "scale": jnp.float32(scale)} for noise in noises for scale in scales]
    taught(monkeypatch, manifold, score, params)
    shown = Shown()
    manifold.ring_scores(shown, replace(SMOKE, ring_noises=noises, batch_size=2000, progress=False))
    for noise in noises[1:]:
        row, least = shown.metrics["ring"][str(noise)], manifold.least_loss(noise)
        above = -least * np.array([0.01, 0.04])
        assert row["least loss"] == least
        np.testing.assert_allclose(row["above the least loss"], mean_and_error(above), rtol=0.05)
        np.testing.assert_allclose(row["relative error"], mean_and_error(np.array([0.1, 0.2])), rtol=1e-3)
        pull = np.linalg.norm(manifold.ring_score(jnp.array([[1.05, 0.0]]), noise))
        np.testing.assert_allclose(row["pull 5 % outside"], mean_and_error(pull * np.array(scales)), rtol=1e-3)
        loss = -np.mean(shown.metrics["ring"]["curves"][f"noise {noise:g}"]["minus_loss"])
        assert loss == pytest.approx(least + above.mean(), rel=0.01)
        assert not row["still falls"]
    bare = shown.metrics["ring"]["0.0"]
    assert bare["pull 5 % outside"].mean == pytest.approx(50 * 1.05, rel=1e-3)
    assert set(bare) == set(row) - {"above the least loss", "relative error"}


@pytest.mark.slow
def test_the_last_quarters_are_the_third_and_the_fourth():
    assert manifold.last_quarters(np.array([9.0, 9, 9, 9, 3, 5, 1, 2])) == (4, 1.5)


@pytest.mark.parametrize(("falls", "scatter", "expected"), [(1.0, 0.1, True), (-1.0, 0.1, False), (0.1, 1.0, False)])
def test_trainings_still_fall_where_all_of_them_do(falls, scatter, expected):
    rng = np.random.default_rng(0)
    losses = -falls * np.repeat(np.arange(4), 15) + scatter * rng.normal(size=(3, 60))
    of = [Fit(None, np.arange(60), {"loss": loss, "pull": np.ones(60)}) for loss in losses]
    row = manifold.summary(None, of, 0.0)
    assert row["still falls"] == expected
    assert row["fall over the last quarter"].mean == pytest.approx(falls, abs=4 * scatter / np.sqrt(22))


@pytest.mark.slow
def test_each_objectives_divergence_is_to_its_own_density_and_to_p(monkeypatch):
    """c times p's score: ½E‖s − ∇log p‖² = (1 − c)² in the plane, to N(μ, (1 + σ²) I) (1 + σ²)(c − 1/(1 + σ²))²."""
    mixture, scales, sigma = song_ermon_mixture(), (0.7, 0.9), 0.8
    taught(
        monkeypatch,
        objectives,
        lambda params, x, sigma: params * mixture.score(x),
        [jnp.float32(c) for c in scales] * 4,
    )
    shown = Shown()
    objectives.learning_curves(shown, replace(SMOKE, objective_sigma=sigma, batch_size=1000, progress=False))
    (rows, _), wide, c = shown.tables[0], 1 + sigma**2, np.array(scales)
    to_p, to_q = (1 - c) ** 2, wide * (c - 1 / wide) ** 2
    for row, own in zip(rows, [to_q, to_p, to_p, to_p], strict=True):
        # of 4000 draws: ‖x − μ‖² has a relative error of 1/√4000
        np.testing.assert_allclose(row["divergence to p"], mean_and_error(to_p), rtol=5 / np.sqrt(4000))
        np.testing.assert_allclose(row["divergence to its own density"], mean_and_error(own), rtol=5 / np.sqrt(4000))
        scatter = 5 * row["its scatter"].mean / np.sqrt(50) + 0.01
        assert abs(row["objective + constant"].mean - own.mean()) < scatter, row["objective"]
    assert [row["objective"] for row in rows] == list(objectives.NAMES)
    np.testing.assert_allclose(to_p.mean(), 0.05)
    assert abs(to_p.mean() - to_q.mean()) > 0.02


@pytest.mark.slow
def test_c1_9_every_objective_plus_its_constant_is_the_fisher_divergence():
    """Within five standard errors, at a score that is not the best: .7 times the exact one."""
    mixture, sigma, n = song_ermon_mixture(), 0.5, 40_000
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
    found = gradient_noise.total_variance(draws)
    assert found.mean == pytest.approx(14, rel=0.05)
    # of independent normal values Var Σ x² = 2 Σ σ⁴
    assert found.error == pytest.approx(np.sqrt(2 * (1 + 16 + 81) / 20_000), rel=0.05)
    few = [gradient_noise.total_variance(draws[i : i + 5]).mean for i in range(0, 20_000, 5)]
    assert np.mean(few) == pytest.approx(14, rel=0.05)


def test_powers_and_ratios_carry_their_errors():
    rng = np.random.default_rng(0)
    x, true = np.array([0.03, 0.06, 0.12]), 5.0 * np.array([0.03, 0.06, 0.12]) ** -2
    exponents = [
        gradient_noise.power(x, [MeanAndError(y * (1 + 0.02 * rng.normal()), 0.02 * y) for y in true])
        for _ in range(2000)
    ]
    assert np.mean([of.mean for of in exponents]) == pytest.approx(-2, abs=0.005)
    assert exponents[0].error == pytest.approx(np.std([of.mean for of in exponents]), rel=0.1)
    a, b = 10 + 0.1 * rng.normal(size=20_000), 4 + 0.08 * rng.normal(size=20_000)
    found = gradient_noise.ratio(MeanAndError(10.0, 0.1), MeanAndError(4.0, 0.08))
    assert found.mean == 2.5
    assert found.error == pytest.approx(np.std(a / b), rel=0.05)


@pytest.mark.slow
def test_objectives_are_compared_within_their_errors():
    dsm = [MeanAndError(9.0, 0.1), MeanAndError(1.1, 0.1), MeanAndError(0.5, 0.1)]
    told = gradient_noise.compared([0.1, 1.0, 10.0], dsm, MeanAndError(1.0, 0.05))
    assert told == "of the σ tried below SSM's at 10, within chance of it at 1"
    told = gradient_noise.compared([0.1], dsm[:1], MeanAndError(1.0, 0.05))
    assert told == "of the σ tried below SSM's at none, within chance of it at none"
    itself = [Spread(1.0, 0.8, 1.1), Spread(1.0, 0.9, 1.02)]
    assert gradient_noise.dearer([Spread(1.2, 1.1, 1.3), Spread(1.4, 1.3, 1.5)], itself) == "1.2 to 1.4"
    # .8 of itself may as well be 1.25 times
    assert "cannot tell from 1" in gradient_noise.dearer([Spread(1.2, 1.1, 1.3), Spread(1.3, 1.2, 1.5)], itself)


@pytest.mark.slow
def test_a_gradients_time_is_that_of_one_gradient(monkeypatch):
    """ISM, run fewer times than the others, costs five times as much here; the clock counts calls."""
    cost, calls = {"DSM": 1.0, "ISM": 5.0, "SSM": 2.0, "SSM-VR": 3.0}, Counter()

    def gradient(name):
        def run(key, params, sigma):
            calls[name] += 1
            return jnp.zeros(())

        return run

    def seconds(work):
        calls.clear()
        work()
        return sum(cost[name] * n for name, n in calls.items())

    def in_turns(subjects, rounds, report):
        timed = {name: (seconds(of.run), seconds(lambda of=of: of.network(of.calls))) for name, of in subjects.items()}
        return {name: Timing(*(np.full(rounds, value) for value in of)) for name, of in timed.items()}

    monkeypatch.setattr(gradient_noise, "in_turns", in_turns)
    gradients = SimpleNamespace(dims=32, params=None, of={name: gradient(name) for name in cost})
    found = gradient_noise.time_ratios(gradients, 0.3, 3)
    assert {name: of.median for name, of in found.items()} == cost


@pytest.mark.slow
def test_c1_9_sliced_gradients_are_unbiased_estimates_of_the_implicit_one():
    """On the same data: in every parameter the mean difference is within six standard errors of none."""
    gradients = gradient_noise.Gradients(replace(SMOKE, objective_steps=1), 2)

    def drawn(name):
        found = [gradients.of[name](jax.random.key(i), gradients.params, 1.0) for i in range(400)]
        return np.stack([np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for g in found])

    exact = drawn("ISM")
    for name in ("SSM", "SSM-VR"):
        difference = drawn(name) - exact
        error = difference.std(0) / np.sqrt(len(difference))
        assert error.max() > 0
        assert np.all(np.abs(difference.mean(0)) < 6 * error + 1e-6), name


@pytest.mark.slow
def test_dsms_gradient_is_noisier_the_less_noise_it_adds():
    """As 1/σ² for small σ, but for an error of some percent; the others know no σ."""
    config, shown = replace(SMOKE, objective_steps=1, gradients=5), Shown()
    gradients = gradient_noise.Gradients(config, 2)
    gradient_noise.gradient_noise(shown, config, gradients)
    found = shown.metrics["gradient_noise"]
    assert abs(found["slope"].mean + 2) < 4 * found["slope"].error < 1.5
    assert found["DSM"][0].mean > 100 * found["DSM"][-1].mean
    x = lambda name, sigma: gradients.of[name](jax.random.key(0), gradients.params, sigma)
    for name in ("ISM", "SSM", "SSM-VR"):
        chex.assert_trees_all_equal(x(name, 0.03), x(name, 1.0))


@pytest.mark.slow
def test_the_gradients_law_has_the_seminars_weights_and_distance():
    gradients = gradient_noise.Gradients(replace(SMOKE, objective_steps=1), 8)
    x = np.asarray(gradients.draw(jax.random.key(0), 20_000))
    near = x.sum(-1) > 0
    assert abs(near.mean() - 0.8) < 5 * np.sqrt(0.16 / 20_000)
    np.testing.assert_allclose(np.linalg.norm(x[near].mean(0) - x[~near].mean(0)), 10 * np.sqrt(2), rtol=0.01)
    np.testing.assert_allclose(np.cov(x[near].T), np.eye(8), atol=0.06)

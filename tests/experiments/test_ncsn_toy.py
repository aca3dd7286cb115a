"""The NCSN toy: a whole small run, its parts against mathematics, and what it refuses."""

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
from shown import metrics_of
from some_exercise import SOME

from experiments.kit.plane import lattice
from experiments.kit.run import begin
from experiments.kit.timing import Timing
from experiments.kit.toy_sampling import exact_field, learned_field, log_density
from experiments.kit.toy_training import Fit
from experiments.ncsn_toy import measure_gradients, measure_regions, objectives, ring
from experiments.ncsn_toy import measure_weights as weights
from experiments.ncsn_toy.config import PRESETS
from experiments.ncsn_toy.gradients import Gradients, total_variance
from experiments.ncsn_toy.measure_objectives import measure_objectives
from experiments.ncsn_toy.measure_ring import last_quarters, measure_ring, summary
from experiments.ncsn_toy.train import Models, train
from jaxgen import data
from jaxgen.distributions import song_ermon_mixture
from jaxgen.metrics import MeanAndError, mean_and_error

SMOKE = replace(PRESETS["smoke"], progress=False)


def run_of(config, root):
    """A run whose stages are kept in root."""
    return begin(SOME, replace(config, runs=root), [])


class Net:
    """A network in closed form: `score` of (params, x, sigma)."""

    def __init__(self, score):
        self.apply = lambda params, x, sigma=1.0: score(params, x, sigma)


def models_of(score, clean, many, sigmas=(20.0, 4.0, 1.0)):
    """Models of one closed form, whose parameters by seed tell the networks from each other."""
    return Models(
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
            "annealing does not restore the weights",
            "not less than half as much",
            "which is within chance",
            "Where data are rare",
            "Mode weights",
            "Data on a curve",
            "Objectives",
            "SSM-VR",
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
    """The clean network is compared with p's score, that of all levels with that of p * N(0, σ² I)."""
    mixture = song_ermon_mixture()
    # a negative parameter makes a multiple of p's own score, a positive one of that at the network's σ
    score = lambda params, x, sigma: jnp.abs(params) * mixture.perturbed(1.0, jnp.where(params > 0, sigma, 0)).score(x)
    found = measure_regions.measure_regions(models_of(score, (-0.9, -1), (0.99, 0.97)))
    none = measure_regions.measure_regions(models_of(score, (0, 0), (0, 0)))
    np.testing.assert_allclose(found.rare, (0.05, 0.05), rtol=1e-3)
    np.testing.assert_allclose(none.rare, (1, 0), atol=1e-6)
    assert list(found.of_levels) == [1.0, 4.0, 20.0]
    for sigma in (20.0, 4.0, 1.0):
        np.testing.assert_allclose(found.of_levels[sigma], (0.02, 0.01), rtol=1e-3)
        np.testing.assert_allclose(none.of_levels[sigma], (1, 0), atol=1e-6)
    assert found.rare_share == pytest.approx(0.59, abs=0.02)
    assert found.loss_share > 0.99


@pytest.mark.slow
def test_every_method_uses_its_own_network():
    """Of the first seed only the clean network is finite, of the second only that of all levels."""
    models = models_of(lambda params, x, sigma: params * x, (0, np.nan), (np.nan, 0))
    draw = weights.Chains(models, SMOKE)
    finite = [{name for name, path in draw(seed).items() if np.isfinite(path).all()} for seed in (0, 1)]
    exact = {"Langevin, exact", "annealed, exact"}
    assert finite == [exact | {weights.PLAIN_LEARNED}, exact | {weights.LEARNED, weights.LONGER}]


@pytest.mark.slow
def test_chains_take_the_steps_of_their_levels():
    """With no score a level adds T ε σ_i²/σ_L² of variance, three times as much with three times the steps."""
    config = replace(SMOKE, starts=2000)
    paths = weights.Chains(models_of(lambda params, x, sigma: 0 * x, (0,), (0,), sigmas=(9.0, 3.0, 0.5)), config)(0)
    steps = config.level_steps * config.step_size * np.array([18.0, 6.0, 1.0]) ** 2
    for name, times in (("annealed, learned", 1), (weights.LONGER, 3)):
        added = np.diff(paths[name], axis=0).var((1, 2))
        np.testing.assert_allclose(added, times * steps, rtol=5 * np.sqrt(2 / 4000))
    moved = paths["Langevin, learned"][-1] - paths["Langevin, learned"][0]
    np.testing.assert_allclose(moved.var(), config.langevin_steps * config.step_size, rtol=5 * np.sqrt(2 / 4000))


@pytest.mark.slow
def test_shares_and_changes_of_sides_are_counted(monkeypatch, tmp_path):
    """All begin at (−5, −5); a fifth in one seed and two fifths in the other end at (5, 5), but for one far off."""
    config, begun = replace(SMOKE, starts=100, repeats=2), np.full((200, 2), -5.0)

    class Paths:
        def __init__(self, models, config):
            pass

        def start(self, seed):
            return begun

        def __call__(self, seed):
            end = begun.copy()
            end[: 40 * (seed + 1)] = 5.0
            end[0] = 20.0
            names = (weights.PLAIN, weights.EXACT, weights.LEARNED, weights.LONGER)
            return dict.fromkeys(names, np.stack([begun, end]))

    expected = {weights.PLAIN: 0.5, weights.EXACT: 0.78, weights.LONGER: 0.79}
    monkeypatch.setattr(weights, "Chains", Paths)
    monkeypatch.setattr(weights, "in_law", lambda models, config: expected)
    found = weights.measure_weights(run_of(config, tmp_path), models_of(None, (0,), (0,)))
    assert len(found.methods) == 4
    for name, method in found.methods.items():
        assert method.share.mean == pytest.approx(0.3)
        assert method.changed == pytest.approx(0.3)
        assert method.error == (pytest.approx(-0.5), method.share.error)
        assert method.far == pytest.approx(1 / 200)
        assert method.expected == expected.get(name)
        # the first half of the first seed's chains is drawn
        assert method.shown_changed == method.shown_share == pytest.approx(0.4)
    # seeds that agree by chance are not trusted beyond fair draws
    assert found.draws.error >= 0.9 * np.sqrt(0.16 / 400)
    np.testing.assert_array_equal(found.side, np.ones(100))


@pytest.mark.slow
def test_c1_11_briefly_trained_scores_restore_the_weights_as_exact_ones_do(tmp_path):
    """A fifth of the training: within .02 and two standard errors of what exact scores give in law, .783."""
    config = replace(
        SMOKE, clean_steps=600, many_steps=3000, batch_size=256, width=128, starts=1500, langevin_steps=200, levels=10,
        level_steps=100,
    )  # fmt: skip
    models = train(run_of(config, tmp_path), song_ermon_mixture())
    expected, draw = weights.in_law(models, config), weights.Chains(models, config)
    ends = [{name: path[-1].sum(-1) > 0 for name, path in draw(seed).items()} for seed in (0, 1)]
    share = {name: float(np.mean([of[name] for of in ends])) for name in ends[0]}
    error = 2 * np.sqrt(0.17 / 3000)
    assert abs(share["annealed, learned"] - expected["annealed, exact"]) < 0.02 + error
    assert abs(share["annealed, exact"] - expected["annealed, exact"]) < 2 * error
    assert 0.78 < expected["annealed, exact"] < 0.79 < expected[weights.LONGER] < 0.8
    for name in ("Langevin, exact", "Langevin, learned"):
        assert abs(share[name] - 0.51) < 0.1  # lost: p has .8
    points = lattice(measure_regions.LIMITS, 60)
    common = log_density(models.mixture, points) > np.log(1e-3)
    for sigma, params in ((0.0, models.clean[0]), (4.0, models.many[0])):
        target = exact_field(models.mixture, points, sigma)
        wrong = learned_field(models.net, params, points, sigma or 1.0) - target
        assert measure_regions.relative_errors([wrong, wrong], target, common).mean < 0.15


def test_relative_errors_are_summed_in_bins_of_density():
    rng = np.random.default_rng(0)
    error, target = rng.normal(size=(2, 50, 2))
    log_density = rng.uniform(-3, 0, 50)
    found = measure_regions.by_density(error, target, log_density, np.array([-4.0, -3.0, -2.0, -1.0, 0.0]))
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
        circle = jnp.stack([jnp.cos(angles), jnp.sin(angles)], -1)

        def log_density(x):
            return jax.nn.logsumexp(-0.5 * jnp.sum((x - circle) ** 2, -1) / noise**2)

        x = jnp.array([[0.5, 0.2], [-1.0, 0.1], [0.0, 1.3], [1e-2, 0.0]])
        np.testing.assert_allclose(ring.ring_score(x, noise), jax.vmap(jax.grad(log_density))(x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_the_least_loss_is_minus_half_the_fisher_information(noise):
    def integrand(r):
        z = r / noise**2
        density = r / noise**2 * np.exp(-((r - 1) ** 2) / (2 * noise**2)) * ive(0, z)  # of the radius
        return density * ((ive(1, z) / ive(0, z) - r) / noise**2) ** 2

    information = quad(integrand, 0, 1 + 12 * noise, points=[1.0])[0]
    np.testing.assert_allclose(ring.least_loss(noise), -information / 2, rtol=1e-3)
    assert ring.least_loss(0.0) == -np.inf
    x = data.ring(jax.random.key(0), 100_000, noise=noise)
    values = -0.5 * np.sum(np.square(ring.ring_score(x, noise)), -1, dtype=np.float64)
    assert abs(ring.least_loss(noise) - values.mean()) < 5 * values.std() / np.sqrt(len(values))


class Untrained:
    """Stands in for training: returns the first parameters, with the loss and what is followed at them."""

    def __init__(self, loss, *, follow, points=50, **options):
        self._loss, self._follow, self._points = jax.jit(loss), jax.jit(follow), points

    def __call__(self, key, params, *args):
        losses = [self._loss(jax.random.fold_in(key, i), params, *args).mean() for i in range(self._points)]
        followed = {name: np.full(self._points, value) for name, value in self._follow(params, *args).items()}
        return Fit(params, np.arange(self._points) + 1, {"loss": np.array(losses)} | followed)


def untrained(monkeypatch, module, params):
    """Makes a module train nothing: the parameters of its trainings are these in turn."""
    left = iter(params)
    monkeypatch.setattr(module, "initial", lambda net, key: next(left))
    monkeypatch.setattr(module, "Training", Untrained)


@pytest.mark.slow
def test_the_ring_is_learned_under_its_noise_and_compared_with_its_least_loss(monkeypatch, tmp_path):
    """c times the exact score of a noise: (1 − c)² times the least loss above it, also by the training's own draws."""
    noises, scales = (0.0, 0.1, 0.3), (0.9, 1.2)

    def score(params, x, sigma):
        radius = jnp.linalg.norm(x, axis=-1, keepdims=True)
        exact = ring.ring_score(x, jnp.maximum(params["noise"], 1e-3))
        return params["scale"] * jnp.where(params["noise"] > 0, exact, 1e3 * (1 - radius) * x / radius)

    params = [{"noise": jnp.float32(noise), "scale": jnp.float32(scale)} for noise in noises for scale in scales]
    untrained(monkeypatch, ring, params)
    run, net = run_of(replace(SMOKE, ring_noises=noises, batch_size=2000), tmp_path), Net(score)
    found = measure_ring(net, ring.train_ring(run, net))
    for noise in noises[1:]:
        row, least = found.noises[noise], ring.least_loss(noise)
        above = -least * np.array([0.01, 0.04])
        assert row.least_loss == least
        np.testing.assert_allclose(row.above_least, mean_and_error(above), rtol=0.05)
        np.testing.assert_allclose(row.relative_error, mean_and_error(np.array([0.1, 0.2])), rtol=1e-3)
        pull = np.linalg.norm(ring.ring_score(jnp.array([[1.05, 0.0]]), noise))
        np.testing.assert_allclose(row.pull, mean_and_error(pull * np.array(scales)), rtol=1e-3)
        assert np.mean(found.loss[noise]) == pytest.approx(least + above.mean(), rel=0.01)
        assert not row.still_falls
    bare = found.noises[0.0]
    assert bare.pull.mean == pytest.approx(50 * 1.05, rel=1e-3)
    assert bare.least_loss == -np.inf
    assert bare.relative_error is bare.above_least is None


@pytest.mark.slow
def test_the_last_quarters_are_the_third_and_the_fourth():
    assert last_quarters(np.array([9.0, 9, 9, 9, 3, 5, 1, 2])) == (4, 1.5)


@pytest.mark.parametrize(("falls", "scatter", "expected"), [(1.0, 0.1, True), (-1.0, 0.1, False), (0.1, 1.0, False)])
def test_trainings_still_fall_where_all_of_them_do(falls, scatter, expected):
    rng = np.random.default_rng(0)
    losses = -falls * np.repeat(np.arange(4), 15) + scatter * rng.normal(size=(3, 60))
    of = [Fit(None, np.arange(60), {"loss": loss, "pull": np.ones(60)}) for loss in losses]
    row = summary(None, of, 0.0)
    assert row.still_falls == expected
    assert row.fall.mean == pytest.approx(falls, abs=4 * scatter / np.sqrt(22))


@pytest.mark.slow
def test_each_objectives_divergence_is_to_its_own_density_and_to_p(monkeypatch, tmp_path):
    """c times p's score: ½E‖s − ∇log p‖² = (1 − c)² in the plane, to N(μ, (1 + σ²) I) (1 + σ²)(c − 1/(1 + σ²))²."""
    mixture, scales, sigma = song_ermon_mixture(), (0.7, 0.9), 0.8
    untrained(monkeypatch, objectives, [jnp.float32(c) for c in scales] * 4)
    run = run_of(replace(SMOKE, objective_sigma=sigma, batch_size=1000), tmp_path)
    fits = objectives.train_objectives(run, mixture, Net(lambda params, x, sigma: params * mixture.score(x)))
    found = measure_objectives(fits, objectives.constants(mixture, sigma))
    wide, c = 1 + sigma**2, np.array(scales)
    to_p, to_q = (1 - c) ** 2, wide * (c - 1 / wide) ** 2
    for (name, of), own in zip(found.of.items(), [to_q, to_p, to_p, to_p], strict=True):
        # of 4000 draws: ‖x − μ‖² has a relative error of 1/√4000
        np.testing.assert_allclose(of.to_p, mean_and_error(to_p), rtol=5 / np.sqrt(4000))
        np.testing.assert_allclose(of.own, mean_and_error(own), rtol=5 / np.sqrt(4000))
        assert abs(of.shifted.mean - own.mean()) < 5 * of.scatter.mean / np.sqrt(50) + 0.01, name
    assert list(found.of) == list(objectives.NAMES)
    np.testing.assert_allclose(to_p.mean(), 0.05)
    assert abs(to_p.mean() - to_q.mean()) > 0.02


@pytest.mark.slow
def test_c1_9_every_objective_plus_its_constant_is_the_fisher_divergence():
    """Within five standard errors, at a score that is not the best: .7 times the exact one."""
    mixture, sigma, n = song_ermon_mixture(), 0.5, 40_000
    known = objectives.constants(mixture, sigma)
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
    found = total_variance(draws)
    assert found.mean == pytest.approx(14, rel=0.05)
    # of independent normal values Var Σ x² = 2 Σ σ⁴
    assert found.error == pytest.approx(np.sqrt(2 * (1 + 16 + 81) / 20_000), rel=0.05)
    few = [total_variance(draws[i : i + 5]).mean for i in range(0, 20_000, 5)]
    assert np.mean(few) == pytest.approx(14, rel=0.05)


def test_powers_and_ratios_carry_their_errors():
    rng = np.random.default_rng(0)
    x, true = np.array([0.03, 0.06, 0.12]), 5.0 * np.array([0.03, 0.06, 0.12]) ** -2
    exponents = [
        measure_gradients.power(x, [MeanAndError(y * (1 + 0.02 * rng.normal()), 0.02 * y) for y in true])
        for _ in range(2000)
    ]
    assert np.mean([of.mean for of in exponents]) == pytest.approx(-2, abs=0.005)
    assert exponents[0].error == pytest.approx(np.std([of.mean for of in exponents]), rel=0.1)


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

    monkeypatch.setattr(measure_gradients, "in_turns", in_turns)
    gradients = SimpleNamespace(dims=32, params=None, of={name: gradient(name) for name in cost})
    found = measure_gradients.time_ratios(gradients, 0.3, 3)
    assert {name: of.median for name, of in found.items()} == cost


@pytest.mark.slow
def test_c1_9_sliced_gradients_are_unbiased_estimates_of_the_implicit_one():
    """On the same data: in every parameter the mean difference is within six standard errors of none."""
    gradients = Gradients(replace(SMOKE, objective_steps=1), 2)

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
    gradients = Gradients(replace(SMOKE, objective_steps=1), 2)
    found = measure_gradients.measure_variances(gradients, 40)
    assert abs(found.slope.mean + 2) < 4 * found.slope.error < 1.5
    first, *_, last = found.dsm.values()
    assert first.mean > 100 * last.mean
    assert found.over_ism["SSM"].mean > 1
    x = lambda name, sigma: gradients.of[name](jax.random.key(0), gradients.params, sigma)
    for name in ("ISM", "SSM", "SSM-VR"):
        chex.assert_trees_all_equal(x(name, 0.03), x(name, 1.0))


@pytest.mark.slow
def test_the_gradients_law_has_the_seminars_weights_and_distance():
    gradients = Gradients(replace(SMOKE, objective_steps=1), 8)
    x = np.asarray(gradients.draw(jax.random.key(0), 20_000))
    near = x.sum(-1) > 0
    assert abs(near.mean() - 0.8) < 5 * np.sqrt(0.16 / 20_000)
    np.testing.assert_allclose(np.linalg.norm(x[near].mean(0) - x[~near].mean(0)), 10 * np.sqrt(2), rtol=0.01)
    np.testing.assert_allclose(np.cov(x[near].T), np.eye(8), atol=0.06)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"clean_steps": 0}, "--clean-steps must be at least 1"),
        ({"seeds": 1}, "--seeds must be at least 2"),
        ({"starts": 10}, "--starts must be at least 100"),
        ({"langevin_steps": 10}, "--langevin-steps must be at least 20"),
        ({"langevin_steps": 1010}, "--langevin-steps must be a multiple of 20"),
        ({"sigma_last": 30.0}, "--sigma-last < --sigma-first"),
        ({"step_size": 1.5}, "--step-size"),
        ({"objective_sigma": 0.0}, "--objective-sigma must be positive"),
        ({"ring_steps": 5}, "--ring-steps must be at least 8"),
        ({"ring_noises": (0.1, 0.2)}, "--ring-noises must ascend from 0"),
        ({"dims": (512, 2)}, "--dims must ascend"),
        ({"dims": ()}, "--dims needs at least one value"),
    ],
)
def test_flags_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["default"], **changed)

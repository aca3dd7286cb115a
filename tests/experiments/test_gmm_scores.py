"""The mixture exercise: a whole small run, its resumption, what it measures against mathematics, and what it says."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import jinja2
import numpy as np
import pytest
from shown import metrics_of

from experiments.gmm_scores import draw as draws
from experiments.gmm_scores import measure_chains, measure_many_levels, measure_samplers, measure_scores, report
from experiments.gmm_scores.config import PRESETS, Config
from experiments.gmm_scores.train import Models, ladders, root_mean_square, train
from experiments.kit.plane import lattice
from experiments.kit.statistics import verdict
from experiments.kit.toy_sampling import Found, MixtureComparison, density, half_width
from jaxgen.distributions import random_mixture, song_ermon_mixture
from jaxgen.metrics import MeanAndError
from jaxgen.report.template import FILTERS
from jaxgen.samplers import Sampler

SMOKE = replace(PRESETS["smoke"], progress=False)


class Net:
    """A network in closed form: `score` of (params, x, sigma)."""

    def __init__(self, score):
        self.apply = score


def fits(*params):
    return [SimpleNamespace(params=jnp.float32(p)) for p in params]


def models_of(score, *params, sigmas=(1.0, 3.0, 7.0)):
    """Models whose every network is one score with these parameters by seed."""
    return Models(
        random_mixture(3), Net(score), {sigma: fits(*params) for sigma in sigmas}, fits(*params), fits(*params)
    )


def run_of(config=SMOKE):
    """A run whose stages are computed at once and kept nowhere."""
    return SimpleNamespace(config=config, stage=lambda name, compute: compute())


def drawing_of(models, config=SMOKE, half=12.0):
    return draws.Drawing(run_of(config), models, ladders(config), half)


def q_score(params, x, sigma):
    """The exact score of random_mixture(3) under noise σ."""
    return random_mixture(3).perturbed(1.0, sigma).score(x)


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        (
            "has not yet learned",
            "does not restore",
            "p * N(0, σ² I)",
            "do not reach",
            "Heun",
            "network [0.1, 20]",
        ),
        "mixture.png fields.png errors.png weighted-errors.png bias.png trajectories.png starts.png "
        "many-fields.png error-by-sigma.png annealing.png samples.png mmd.png weights.png",
    )
    rows = {row["sampler"]: row for row in metrics["samplers"]}
    assert abs(rows["draws of p"]["error"]["mean"]) < 5 * np.sqrt(0.25 / 200)
    assert 0.5 < rows["draws of p"]["MMD / floor"]["mean"] < 2
    assert len(rows) == 17
    assert [row["σ"] for row in metrics["score_errors"]] == [1, 1, 3, 3, 7, 7]
    weight = random_mixture(Config().seed).weights[0]
    assert metrics["mixture"]["weights"][0] == pytest.approx(float(weight))
    assert len(metrics["starts"]) == 8
    for row in metrics["score_errors"]:  # untrained networks are farther from p than q's own score is
        assert row["mean"] == "unweighted" or row["network to p"]["mean"] > row["q to p"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"langevin_steps": 300}, "must be a multiple of 200"),
        ({"steps": 0}, "--steps must be at least 1"),
        ({"seeds": 1}, "--seeds must be at least 2"),
        ({"levels": 1}, "--levels must be at least 2"),
        ({"samples": 50}, "--samples of at least 100"),
        ({"sigmas": (3.0, 1.0)}, "--sigmas are two or three ascending"),
        ({"sigmas": (1.0,)}, "--sigmas"),
        ({"sigmas": ()}, "--sigmas needs at least one value"),
        ({"sigma_min": 1.5}, "0 < --sigma-min < 1 < --sigma-max"),
        ({"step_size": 2.0}, "--step-size"),
        ({"learning_rate": 0.0}, "--learning-rate must be positive"),
        ({"seed": -1}, "seed"),
    ],
)
def test_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(Config(), **changes)


def test_the_networks_are_scaled_by_the_root_mean_square_of_the_data():
    x = np.asarray(random_mixture(3).sample(jax.random.key(0), 100_000), np.float64)
    assert root_mean_square(random_mixture(3)) == pytest.approx(np.sqrt(np.mean(x**2)), rel=0.01)


def test_the_ladders_have_one_ratio_and_pass_one():
    config = Config()
    ladder = ladders(config)
    np.testing.assert_allclose([ladder.short[0], ladder.short[-1], len(ladder.short)], [20, 1, 10])
    np.testing.assert_allclose(ladder.full[:10], ladder.short)
    assert ladder.full[-1] == pytest.approx(config.sigma_min)
    ratios = ladder.full[:-1] / ladder.full[1:]
    assert np.all(ratios <= ratios[0] * (1 + 1e-9))


@pytest.mark.parametrize(("sigma", "modes"), [(1.0, 2), (3.0, 2), (7.0, 1)])
def test_the_modes_left_under_noise(sigma, modes):
    """.8/.2 at ±(5, 5): two modes at σ = 1 and 3, one at 7."""
    assert measure_scores.count_modes(song_ermon_mixture(), sigma) == modes


@pytest.mark.slow
def test_root_mean_squares_are_weighted():
    error = np.array([[3.0, 4.0], [0.0, 1.0]])
    assert measure_scores.rms(error) == pytest.approx(np.sqrt(13))
    assert measure_scores.rms(error, np.array([0.0, 2.0])) == pytest.approx(1)


@pytest.mark.slow
def test_the_error_by_sigma_of_a_perfect_network_is_nothing_and_of_none_is_the_score():
    """E‖σ ∇log q_σ‖² of a wide σ is nearly 2, that of the noise itself."""
    mixture = song_ermon_mixture()
    exact = Net(lambda params, x, sigma: params * mixture.perturbed(1.0, sigma).score(x))
    models = Models(mixture, exact, {3.0: fits(1)}, short=fits(1), full=fits(0))
    lines = measure_many_levels.error_by_sigma(models, np.array([0.5, 3.0, 100.0]), jax.random.key(0))
    levels, of_three = lines["σ = 3 only"]
    assert levels.tolist() == [0.5, 3, 6, 100]
    assert of_three[1] < 1e-5
    assert min(of_three[0], of_three[2], of_three[3]) > 0.1
    sigmas, errors = lines["all σ ≥ 1"]
    assert sigmas.tolist() == [3, 100]
    assert errors.max() < 1e-5
    np.testing.assert_allclose(lines["all σ ≥ 0.5"].error[-1], np.sqrt(2), rtol=0.05)


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
    monkeypatch.setattr(draws, "SAMPLERS", {"DDIM": still, "Heun": still})
    drawing = drawing_of(models_of(lambda params, x, sigma: -x, 0.0), replace(SMOKE, samples=20_000))
    methods = measure_samplers.methods(drawing)
    begun = {key: method.draw(0) for key, method in methods.items() if key.startswith(("DDIM", "Heun"))}
    plain = begun.pop("DDIM plain")
    np.testing.assert_allclose(plain.mean(0), 0, atol=5 * 20 / np.sqrt(20_000))
    np.testing.assert_allclose(np.cov(plain.T), 400 * np.eye(2), atol=5 * 400 * np.sqrt(2 / 20_000))
    assert len(begun) == 3
    for matched in begun.values():
        np.testing.assert_allclose(
            matched, draws.matched_start(random_mixture(3), plain / 20, 20.0), rtol=1e-4, atol=1e-4
        )


def flipped(half, share):
    """A drawing whose chains end at the mean of their side, a share of them at that of the other side."""
    means = np.asarray(random_mixture(3).means)
    side = np.arange(400) % 4 == 0
    change = np.arange(400) < 400 * share
    start, end = means[1 - side], means[1 - (side ^ change)] + 0.1 * np.random.default_rng(0).normal(size=(400, 2))
    ends = {0.0: end, 1.0: end, 7.0: np.where(np.arange(400)[:, None] < 30, 99.0, end)}
    return SimpleNamespace(
        half=half, models=models_of(None, 0.0, sigmas=(1.0, 7.0)), starts=lambda seed: start,
        walk=lambda sigma, seed, noise_scale: draws.Walk(np.stack([start[:6], end[:6]]), ends[sigma]),
    )  # fmt: skip


def test_changes_of_sides_and_what_is_not_shown_are_counted():
    chains = measure_chains.one_level_chains(flipped(12.0, 0.1))
    assert chains.start_weight == 0.25
    for of in (*chains.ascent[:2], *chains.langevin[:2]):
        assert of.changed == pytest.approx(0.1)
        assert of.weight == pytest.approx(0.25 + 0.1 * 0.5)
    assert chains.outside_ends == {"network, σ = 7": pytest.approx(30 / 400)}
    assert chains.outside_paths == {}
    assert measure_chains.one_level_chains(flipped(120.0, 0.1)).outside_ends == {}


@pytest.mark.slow
def test_each_sampler_is_compared_with_p_and_with_its_target(monkeypatch):
    """Draws of p and of p * N(0, 3² I) are each at the floor from their own law, and the latter far from p."""
    config = replace(SMOKE, samples=300)
    drawing = drawing_of(models_of(None, 0.0), config)

    def method(sigma, share=None):
        mixture = random_mixture(3)
        law = replace(mixture, weights=jnp.array([share, 1 - share])) if share else mixture.perturbed(1.0, sigma)
        draw = lambda seed: np.asarray(law.sample(jax.random.key(seed), 300))
        return measure_samplers.Method(f"{sigma}", sigma, 7, draw)

    laws = {"clean": method(0.0), "noisy": method(3.0)}
    laws |= {"Heun": method(0.0), "Heun exact": method(0.0, 0.6), "DDIM": method(0.0), "DDIM plain": method(0.0, 0.05)}
    monkeypatch.setattr(measure_samplers, "methods", lambda drawing: laws)
    found = measure_samplers.measure_samplers(drawing)
    clean, noisy = found.all["clean"], found.all["noisy"]
    assert clean.own_mmd == clean.mmd
    assert 0.5 < clean.own_mmd.mean < 2
    assert 0.5 < noisy.own_mmd.mean < 2
    assert noisy.mmd.mean > 3
    weight = float(random_mixture(3).weights[0])
    assert clean.error.mean == pytest.approx(clean.weights.mean() - weight)
    assert found.heun_difference.mean == pytest.approx(0.6 - weight, abs=0.1)
    assert found.start_difference.mean == pytest.approx(0.05 - weight, abs=0.1)
    assert found.all["Heun exact"].kept == "no"
    assert next(iter(found.shown)) == "p"
    assert not {"Heun exact", "DDIM"} & set(found.shown)


@pytest.mark.parametrize("sigma", [0.0, 3.0])
def test_the_weight_of_the_noised_mixture_is_the_share_of_its_draws(sigma):
    mixture, n = random_mixture(3), 100_000
    x = np.asarray(mixture.perturbed(1.0, sigma).sample(jax.random.key(0), n))
    nearer = np.linalg.norm(x - mixture.means[0], axis=-1) < np.linalg.norm(x - mixture.means[1], axis=-1)
    assert measure_samplers.exact_weight(mixture, sigma) == pytest.approx(nearer.mean(), abs=5 * 0.5 / np.sqrt(n))


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (MeanAndError(0.019, 1e-4), "within 0.02"),
        (MeanAndError(-0.03, 0.02), "within chance"),
        (MeanAndError(-0.03, 0.01), "no"),
    ],
)
def test_a_weight_is_kept_within_a_limit_or_within_chance(error, kept):
    assert measure_samplers.keeps_weight(error) == kept


@pytest.mark.slow
def test_the_half_where_q_is_low():
    """An error that grows with −log q is larger there; of one that is even, the share of the loss is q's mass."""
    mixture = random_mixture(3)

    def score(params, x, sigma):
        law = mixture.perturbed(1.0, sigma)
        size = jnp.where(params > 0, 1.0, -law.log_density(x))[:, None]
        return law.score(x) + size * jnp.array([0.6, 0.8])

    growing, even = models_of(score, 0, 0), models_of(score, 1, 1)
    for sigma in (1.0, 3.0, 7.0):
        found = measure_scores.one_level(growing, sigma, 12.0).halves
        assert found.error_low > 1.1 * found.error_high
        found = measure_scores.one_level(even, sigma, 12.0).halves
        assert found.error_low == pytest.approx(1, rel=1e-4)
        assert found.error_high == pytest.approx(1, rel=1e-4)
        assert found.loss == pytest.approx(found.mass, rel=1e-3)
        assert found.mass < 0.4
    # half the square about both modes: what is out there has less than 1 % of p * N(0, I)
    points = np.asarray(mixture.perturbed(1.0, 1.0).sample(jax.random.key(0), 20_000))
    low = np.quantile(density(mixture, lattice((-12.0, 12.0), measure_scores.CELLS), 1.0), 0.5)
    out = np.mean(density(mixture, points, 1.0) < low)
    assert measure_scores.one_level(even, 1.0, 12.0).halves.mass == pytest.approx(out, abs=1e-3)


@pytest.mark.slow
def test_c1_14_ascent_ends_in_the_modes_and_langevin_does_not():
    """From the exercise's own starts, by the exact scores of p and of p * N(0, 7² I); the gradient at the ends is 0."""
    config, mixture = replace(SMOKE, langevin_steps=1000), random_mixture(3)
    drawing = drawing_of(models_of(q_score, 0.0), config)
    for sigma, modes in ((0.0, 2), (7.0, 1)):
        ascent, chain = (drawing.walk(sigma, 0, noise_scale=scale) for scale in (0.0, 1.0))
        law = mixture.perturbed(1.0, sigma)
        assert ascent.paths.shape == (201, draws.CIRCLE, 2)
        assert ascent.ends.shape == (config.samples, 2)
        np.testing.assert_array_equal(ascent.paths[0], chain.paths[0])
        np.testing.assert_allclose(law.score(jnp.asarray(ascent.ends)), 0, atol=1e-3)
        assert measure_chains.count_points(ascent.ends) == modes
        assert measure_chains.last_move(ascent.paths) < 1e-2
        speed = np.linalg.norm(law.score(jnp.asarray(chain.ends)), axis=-1)
        assert speed.mean() > 0.5 / max(sigma, 1.0)


def test_c1_13_the_networks_of_one_sigma_are_compared_with_q_and_with_p():
    """The exact score of q is 0 off from q's; that of p is 0 off from p's and as far from q's as these are apart."""
    mixture = random_mixture(3)
    of_q, of_p = models_of(q_score, 0, 0), models_of(lambda params, x, sigma: mixture.score(x), 0, 0)
    for sigma in (1.0, 3.0, 7.0):
        q, p = (measure_scores.one_level(models, sigma, 12.0) for models in (of_q, of_p))
        for weighting in ("weighted", "unweighted"):
            assert getattr(q.to_q, weighting).mean < 1e-5
            assert getattr(p.to_p, weighting).mean < 1e-5
            assert getattr(q.to_p, weighting).mean == pytest.approx(getattr(q.q_to_p, weighting), rel=1e-4)
            assert getattr(q.q_to_p, weighting) > 0.3
        assert p.to_q.unweighted.mean == pytest.approx(q.q_to_p.unweighted, rel=1e-4)
        assert p.to_q.weighted.mean > 0.1
        assert q.cosine == pytest.approx(1)


@pytest.mark.slow
def test_the_steps_down_the_ladders_go_with_the_levels_variance():
    """With no score a level adds T ε_i = T ε σ_i² of variance to each chain, ε being that of σ = 1, on both ladders."""
    config = replace(SMOKE, samples=2000)
    drawing = drawing_of(models_of(lambda params, x, sigma: 0 * x, 0.0), config)
    for kind, sigmas in ladders(config)._asdict().items():
        added = np.diff(drawing.anneal(kind, 0), axis=0).var((1, 2))
        expected = config.level_steps * config.step_size * sigmas**2
        np.testing.assert_allclose(added, expected, rtol=5 * np.sqrt(2 / 4000))
    for sigma, factor in ((1.0, 1), (7.0, 49)):
        moved = drawing.walk(sigma, 0).ends - drawing.starts(0)
        expected = config.langevin_steps * config.step_size * factor
        assert moved.var() == pytest.approx(expected, rel=5 * np.sqrt(2 / 4000))


@pytest.mark.slow
def test_the_denoised_samples_are_the_means_of_the_data():
    """x + σ² s is E[x0 | x] at the last level of the short ladder, 1."""
    drawing = drawing_of(models_of(q_score, 0.0))
    x = jnp.asarray(drawing.anneal("short", 0)[-1])
    np.testing.assert_allclose(drawing.denoised(0), random_mixture(3).posterior_mean(x, 1.0, 1.0), atol=1e-4)


@pytest.mark.slow
def test_every_method_asks_its_own_network():
    """Seed k has one network, which answers at its own σ alone, and NaN for all others: whose draws are finite?"""

    def score(params, x, sigma):
        given = jnp.broadcast_to(jnp.reshape(sigma, (-1, 1)), (len(x), 1))
        return jnp.where((params < 0) | (jnp.abs(given - params) < 1e-4), 0.0, jnp.nan) * x

    only = lambda k, answer: fits(*(answer if i == k else np.nan for i in range(5)))
    single = {sigma: only(k, sigma) for k, sigma in enumerate((1.0, 3.0, 7.0))}
    drawing = drawing_of(Models(random_mixture(3), Net(score), single, only(3, -1.0), only(4, -1.0)))
    owners = {f"{name} {sigma}": k for name in ("ascent", "Langevin") for k, sigma in enumerate((1.0, 3.0, 7.0))}
    owners |= {"annealed": 3, "denoised": 3, "annealed full": 4, "DDIM plain": 4, "DDIM": 4, "Heun": 4}
    targets = {"Langevin 1.0": 1, "Langevin 3.0": 3, "Langevin 7.0": 7, "annealed": 1, "annealed exact": 1}
    targets |= {"annealed full": 0.1}
    for key, method in measure_samplers.methods(drawing).items():
        finite = [k for k in range(5) if np.isfinite(method.draw(k)).all()]
        assert finite == ([owners[key]] if key in owners else list(range(5))), key
        assert method.sigma == pytest.approx(targets.get(key, 0))


@pytest.mark.slow
def test_done_when_two_a_briefly_trained_network_of_all_levels_recovers_the_mixture():
    """Weight within .02 and its sampling error, MMD within twice the floor; networks of one σ have q's score, not p's.

    A quarter of the exercise's training; the network that ends at σ = 1 does not know the levels below.
    """
    config = replace(
        SMOKE, steps=500, many_steps=4000, width=128, batch_size=256, samples=1500, levels=10, level_steps=100,
    )  # fmt: skip
    mixture = random_mixture(3)
    models = train(run_of(config), mixture)
    drawing = drawing_of(models, config, half_width(mixture))
    compare = MixtureComparison(mixture, 1500, jax.random.key(0))
    found = [compare(drawing.anneal("full", seed)[-1]) for seed in range(2)]
    weight = float(mixture.weights[0])
    assert abs(np.mean([of.weight for of in found]) - weight) < 0.02 + np.sqrt(weight * (1 - weight) / 3000)
    assert np.mean([of.mmd for of in found]) < 2 * compare.floor

    curves = measure_many_levels.error_by_sigma(models, np.array([0.1, 0.3, 1.0, 3.0, 7.0, 20.0]), jax.random.key(0))
    for sigma in (1.0, 3.0, 7.0):
        found = measure_many_levels.reach(curves[f"σ = {sigma:g} only"], sigma)
        assert found.own < 0.15
        assert found.twice > 0.5
        level = measure_scores.one_level(models, sigma, drawing.half)
        assert 4 * level.to_q.weighted.mean < level.to_p.weighted.mean
    for name in ("all σ ≥ 1", "all σ ≥ 0.1"):
        assert curves[name].error.max() < 0.15
    x = mixture.sample(jax.random.key(1), 2000) + 0.1 * jax.random.normal(jax.random.key(2), (2000, 2))
    short = models.net.apply(models.short[0].params, x, 0.1)
    exact = mixture.perturbed(1.0, 0.1).score(x)
    assert 0.1 * measure_scores.rms(short - exact) > 2 * curves["all σ ≥ 0.1"].error[0]


def test_the_last_moves_are_those_of_the_last_tenth():
    paths = np.zeros((21, 2, 2))
    paths[19:, 1, 0] = 3.0
    assert measure_chains.last_move(paths) == 3
    assert measure_chains.last_move(paths[:19]) == 0


def test_a_share_settles_after_its_last_departure():
    """.5 at once, .48 later, .51 at the end: near at first is not settled."""
    values = np.array([0.50, 0.49, 0.48, 0.51, 0.51])
    assert measure_chains.settles_at(values, 0.02) == 3
    assert measure_chains.settles_at(values, 0.1) == 0


def test_only_levels_that_a_network_knows_are_shown():
    """With --sigma-max 5 the network of many levels has never seen σ = 7."""
    models = models_of(lambda params, x, sigma: -x, 0.0, 0.0)
    levels = ladders(replace(SMOKE, sigma_max=5.0))
    found = measure_many_levels.many_levels(models, levels, 12.0, jax.random.key(0))
    assert [of.sigma for of in found.fields] == pytest.approx([1, 3, 5])
    assert [of.sigma for of in found.reach] == [1, 3, 7]


E = MeanAndError


def sampler(weight=0.25, error=0.01, width=1.0, mmd=1.0, own_mmd=1.0, mmds=(0.1, 0.11, 0.12), sigma=0.0):
    """A sampler whose seeds have these numbers."""
    off = E(weight - 0.25, error)
    return measure_samplers.Sampler(
        "name [1, 2]", sigma, 7, None, [Found(weight, 1.0, of) for of in mmds], E(weight, error), off,
        measure_samplers.keeps_weight(off), E(width, 0.01), E(mmd, 0.1), E(own_mmd, 0.1),
    )  # fmt: skip


def text_of(learned=True, moving=None, outside=None, **samplers):
    """The report's text of made-up numbers, which is right where nothing else is asked for."""
    of = measure_scores
    halves = of.Halves(4e-6, 0.001, 0.5, 0.1)
    near, far = of.Distance(E(0.03, 0.001), E(0.1, 0.01)), of.Distance(E(0.7, 0.01), E(4.6, 0.1))
    level = lambda sigma: of.OneLevel(
        SimpleNamespace(sigma=sigma), 0.99, 2, None, None, None, None, near, far, of.Distance(0.75, 4.6), halves
    )
    every = {
        key: sampler()
        for key in ("Langevin", "Langevin 1.0", "denoised", "annealed full", "DDIM plain", "DDIM", "Heun", "Heun exact")
    }
    every |= {"ascent": sampler(width=3e-6), "annealed": sampler(width=1.37, sigma=1.0)}
    every |= {key.replace("_", " "): each for key, each in samplers.items()}
    chains = [SimpleNamespace(name="exact", points=2, changed=0.1)]
    values = {
        "config": Config(),
        "target": SimpleNamespace(
            weights=np.array([0.25, 0.75]), means=np.array([[1.0, -2.0], [3.0, 4.0]]), distance=6.3
        ),
        "one_level": [level(1.0), level(3.0)],
        "learned_q": learned,
        "many": SimpleNamespace(span=60.0, reach=[measure_many_levels.Reach(1.0, 0.1, 0.6)], worst={"all σ ≥ 1": 0.1}),
        "chains": SimpleNamespace(
            ascent=chains, langevin=chains, start_weight=0.45, outside_paths={}, outside_ends=outside or {}
        ),
        "moving": moving or {},
        "annealing": SimpleNamespace(
            sigmas=np.array([20.0, 1.0]), settled=1, within=0.02, changed=np.array([0.0, 0.4, 0.5]), outside={}
        ),
        "samplers": every,
        "comparison": SimpleNamespace(
            widths={1.0: 1.36}, weights={1.0: 0.251}, floor=0.03, fair_error=0.014, start_weight=0.45, outside={},
            heun_difference=E(0.0, 0.01), start_difference=E(0.002, 0.001),
        ),
        "last": 0.1,
        "verdict": verdict,
        "figure": lambda name, caption=None, caller=None: caller() if caller else caption,
        "table": lambda name, caption=None, caller=None: caller() if caller else caption,
        "ref": lambda name: name,
    }  # fmt: skip
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(FILTERS)
    source = report.Path(report.__file__).with_name("report.md").read_text()
    return " ".join(environment.from_string(source).render(**values).split())


BETTER, WORSE = (0.03, 0.045, 0.05), (0.3, 0.31, 0.33)
SAID = [
    ({}, "at one noise level σ learns the score of the noised data q = p * N(0, σ² I), not that of the data p."),
    ({"learned": False}, "at one noise level σ has not yet learned the score of the noised data q = p * N(0, σ² I).**"),
    ({}, "The noise of Langevin dynamics is needed to sample"),
    ({}, "ends in modes 3.0×10⁻⁶ times as wide"),
    ({"ascent": sampler(width=1.02)}, "differ only by the noise"),
    ({"Langevin": sampler(width=2.3)}, "differ only by the noise"),
    ({"Langevin": sampler(0.46)}, "loses the weights of the modes. Annealing restores them."),
    ({"Langevin": sampler(0.46)}, "Langevin dynamics with ∇ log p differs from that of p by +0.210 ± 0.010"),
    ({"Langevin": sampler(0.46), "annealed": sampler(0.4)}, "Annealing does not restore them."),
    ({}, "keeps the weights of the modes. Annealing keeps them."),
    ({"annealed_full": sampler(0.4)}, "keeps the weights of the modes. Annealing loses them."),
    ({"annealed": sampler(0.28, 0.02)}, "down to σ = 1 agrees with that of p within chance, though not within 0.02;"),
    ({}, "Chains that end at σ = 1 keep that noise."),
    ({"annealed": sampler(own_mmd=4.8)}, "Chains that end at σ = 1 do not reach p * N(0, I)."),
    ({}, "is within chance of annealed Langevin dynamics"),
    ({"Heun": sampler(mmds=BETTER)}, "is better than annealed Langevin dynamics"),
    ({"Heun": sampler(mmds=WORSE)}, "is worse than annealed Langevin dynamics"),
    ({"Heun": sampler(mmd=2.1)}, "Heun's method one of 2.10 ± 0.10 times the floor"),
    ({}, "All ascents come to rest."),
    ({"moving": {"a": 0.6}}, "ascents still move by up to 0.60 (a)."),
    ({"outside": {"b [1]": 0.08}}, "Points outside the panels: b [1], 8 %."),
    ({}, "change that weight by 0.000 ± 0.010, which is within chance"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), SAID)
def test_the_text_follows_the_numbers(changes, said):
    assert said in text_of(**changes)

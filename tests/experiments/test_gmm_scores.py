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
from experiments import gmm_scores_findings as findings
from experiments import gmm_scores_samples as samples
from experiments.toy_sampling import Found, Judge, half_width
from jaxgen.distributions import random_mixture, song_ermon_mixture
from jaxgen.metrics import MeanAndError
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
def test_root_mean_squares_are_weighted():
    error = np.array([[3.0, 4.0], [0.0, 1.0]])
    assert fields.rms(error) == pytest.approx(np.sqrt(13))
    assert fields.rms(error, np.array([0.0, 2.0])) == pytest.approx(1)


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


def flipped(half, share):
    """Starts, and paths of a drawer whose chains end at the mean of their side, a share of them of the other."""
    means = np.asarray(random_mixture(3).means)
    side = np.arange(400) % 4 == 0
    change = np.arange(400) < 400 * share
    start, end = means[1 - side], means[1 - (side ^ change)] + 0.1 * np.random.default_rng(0).normal(size=(400, 2))
    models = models_of(None, 0.0, sigmas=(1.0, 7.0))
    end = {0.0: end, 1.0: end, 7.0: np.where(np.arange(400)[:, None] < 30, 99.0, end)}
    return SimpleNamespace(
        half=half, FEW=1, models=models, starts=lambda seed: start, config=SMOKE,
        walk=lambda sigma, seed, noise_scale: np.stack([np.vstack([0 * x[:1], x]) for x in (start, end[sigma])]),
    )  # fmt: skip


@pytest.mark.slow
def test_changes_of_sides_and_what_is_not_shown_are_counted():
    shown, judge = Shown(), Judge(random_mixture(3), 100, jax.random.key(0), draws=2)
    samples.starts(shown, flipped(12.0, 0.1), judge)
    rows = {(row["method"], row["σ"]): row for row in shown.metrics["starts"]}
    assert all(rows[name, sigma]["changed sides"] == 0.1 for name in ("ascent", "Langevin") for sigma in (0.0, 1.0))
    assert "of the starts it was 0.25" in shown.captions["starts"]
    assert "end 10% by exact ∇ log p, 10% by network, σ = 1" in shown.captions["starts"]
    assert shown.captions["starts"].endswith("Outside the panels lie 8% (network, σ = 7).")
    samples.starts(shown, flipped(120.0, 0.1), judge)
    assert "Outside" not in shown.captions["starts"]


@pytest.mark.slow
def test_each_sampler_is_held_against_p_and_against_its_own_law(monkeypatch):
    """Draws of p and of p * N(0, 3² I) are each at the floor from their own law, and the latter far from p."""
    mixture, config = random_mixture(3), replace(SMOKE, samples=300)
    draw = draws.Drawer(config, models_of(None, 0.0), gmm_scores.ladders(config), half_width(mixture))

    def method(sigma):
        law = mixture.perturbed(1.0, sigma)
        return draws.Method(sigma, 7, lambda seed: np.asarray(law.sample(jax.random.key(seed), 300)))

    monkeypatch.setattr(samples, "methods", lambda draw: {"clean": method(0.0), "noisy": method(3.0)})
    monkeypatch.setattr(samples, "find", lambda *args: None)
    shown = Shown()
    samples.compare(shown, draw, Judge(mixture, 300, jax.random.key(0)))
    rows = {row["sampler"]: row for row in shown.tables[0][0]}
    own, to_p = "MMD to its own law / floor", "MMD / floor"
    assert rows["clean"][own] == rows["clean"][to_p]
    assert 0.5 < rows["clean"][own].mean < 2
    assert 0.5 < rows["noisy"][own].mean < 2
    assert rows["noisy"][to_p].mean > 3


@pytest.mark.slow
def test_which_way_the_flows_weights_differ():
    """DDIM from N(0, σ² I) has .3 of mode 1, else .2; exact scores .15, the network .25: more, and less."""
    mixture = random_mixture(3)
    draw = draws.Drawer(SMOKE, models_of(None, 0.0, 0.0), gmm_scores.ladders(SMOKE), 12.0)
    weight = {
        "DDIM, network [0.1, 20], from N(0, σ² I)": (0.3, 0.302), "DDIM, network [0.1, 20]": (0.2, 0.2),
        "Heun, network [0.1, 20]": (0.25, 0.252), "Heun, exact scores": (0.15, 0.15),
    }  # fmt: skip
    found = {name: [Found(of, 1.0, 0.1) for of in weight.get(name, (0.25, 0.25))] for name in draws.methods(draw)}
    rows = {
        name: dict.fromkeys(("width", "MMD / floor", "MMD to its own law / floor"), MeanAndError(1.0, 0.1))
        | {"weight of mode 1": MeanAndError(of[0].weight, 0.01), "error": MeanAndError(of[0].weight - 0.25, 0.01)}
        for name, of in found.items()
    }
    shown = Shown()
    findings.find(shown, draw, mixture, rows, found)
    told = shown.findings[-1]
    assert "DDIM's weight is 0.1010 ± 0.0010 more." in told
    assert "from the same starts 0.1010 ± 0.0010 less." in told
    assert "exact scores are off by −0.100 ± 0.010 too" in told


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
def test_every_method_asks_its_own_network():
    """Seed k has one network, which answers at its own σ alone, and NaN for all others: whose draws are finite?"""

    def score(params, x, sigma):
        told = jnp.broadcast_to(jnp.reshape(sigma, (-1, 1)), (len(x), 1))
        return jnp.where((params < 0) | (jnp.abs(told - params) < 1e-4), 0.0, jnp.nan) * x

    only = lambda k, answer: fits(*(answer if i == k else np.nan for i in range(5)))
    single = {sigma: only(k, sigma) for k, sigma in enumerate((1.0, 3.0, 7.0))}
    models = gmm_scores.Models(random_mixture(3), Net(score), single, only(3, -1.0), only(4, -1.0))
    draw = draws.Drawer(SMOKE, models, gmm_scores.ladders(SMOKE), 12.0)
    asked = set()
    for name, method in draws.methods(draw).items():
        finite = [k for k in range(5) if np.isfinite(method.draw(k)).all()]
        if "exact" in name:
            assert finite == list(range(5)), name
            continue
        ends = ("σ = 1", "σ = 3", "σ = 7", "[1, 20]", "[0.1, 20]")
        (own,) = [3] if name.startswith("the same") else [
            k for k, end in enumerate(ends) if name.removesuffix(", from N(0, σ² I)").endswith(f"network {end}")
        ]  # fmt: skip
        assert finite == [own], name
        asked.add(own)
        own_law = {0: 1.0, 1: 3.0, 2: 7.0} if name.startswith("Langevin") else {3: 1.0, 4: 0.1}
        if name.startswith(("Langevin", "annealed")):
            assert method.sigma == pytest.approx(own_law[own])
    assert asked == set(range(5))


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


@pytest.mark.slow
def test_the_last_moves_are_those_of_the_last_tenth():
    paths = np.zeros((21, 2, 2))
    paths[19:, 1, 0] = 3.0
    assert samples.last_moves(paths) == 3
    assert samples.last_moves(paths[:19]) == 0


@pytest.mark.slow
def test_noise_makes_samples_only_where_it_does():
    points, modes, wide = MeanAndError(3e-6, 1e-7), MeanAndError(1.02, 0.01), MeanAndError(2.3, 0.1)
    assert "Noise is what makes samples" in findings.noise_told(points, modes)
    assert "Noise is what" not in findings.noise_told(wide, modes)
    assert "Noise is what" not in findings.noise_told(points, wide)


@pytest.mark.slow
def test_only_levels_that_a_network_knows_are_shown(monkeypatch):
    """With --sigma-max 5 the network of many levels has never seen σ = 7."""
    config, shown, drawn = replace(SMOKE, sigma_max=5.0), Shown(), []
    models = models_of(lambda params, x, sigma: -x, 0.0)
    monkeypatch.setattr(fields, "panels_2d", lambda rows, *args, **options: drawn.append([p.title for p in rows[0]]))
    fields.many_levels(shown, models, gmm_scores.ladders(config), 12.0)
    assert drawn == [["σ = 1", "σ = 3", "σ = 5"]]

"""The NCSN exercise: its chains against exact scores, its measures, a whole small run, and what it refuses."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import siblings_slow
from shown import metrics_of

from experiments.ncsn.config import PRESETS, Config
from experiments.ncsn.ladder import Ladder
from experiments.ncsn.measure import changes, levels
from experiments.ncsn.noise import noise_images, remaining_noise
from experiments.ncsn.train import ScoreModel, score_network
from experiments.ncsn.variants import CONDITIONAL, NCSN_V2, Samplers, variants
from jaxgen.diffusion import denoiser, ncsn
from jaxgen.samplers import annealed_langevin, sample

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")

LADDER = Ladder(8.0, 0.1, 60)
PROCESS = LADDER.process
SHAPE = (32, 32, 3)


def apply(params, x, t, cond=None):
    """The exact score of data at 0, times a scale, as a network that sees σ or not."""
    scale, conditional = params
    norm = jnp.sqrt(jnp.sum(x**2, (1, 2, 3), keepdims=True))
    unconditional = -scale * np.sqrt(np.prod(SHAPE)) * x / norm
    return jnp.where(conditional, -scale * x / PROCESS.sigma(t)[:, None, None, None] ** 2, unconditional)


NET = SimpleNamespace(apply=apply)


def exact_model(conditional):
    last, averaged = ((jnp.float32(scale), conditional) for scale in (0, 1))
    return ScoreModel(conditional, NET, last, averaged, None)


def exact_variants():
    return variants(Config(langevin_steps=3), LADDER, exact_model(False), exact_model(True))


# -- the chains --------------------------------------------------------------------------------------------------


def test_each_variant_lacks_what_it_says():
    unconditional, conditional = object(), object()
    ladder = Ladder(25.0, 0.02, 90)
    whole, narrow, coarse, other, step, half, raw, noisy, old = variants(
        Config(langevin_steps=5), ladder, unconditional, conditional
    ).values()
    assert whole.ladder == ladder
    assert whole.step_size == ncsn.step_size(25.0, 0.02, 90, 5)
    assert narrow.ladder.first == 1
    assert narrow.ladder.gamma <= ladder.gamma * (1 + 1e-9)
    assert coarse.ladder.n == old.ladder.n == 10
    assert other.model is old.model is conditional
    assert step.step_size == old.step_size == pytest.approx(0.2 * 0.02**2)
    assert half.step_size == whole.step_size / 2
    assert (raw.averaged, noisy.final_denoising, old.averaged, old.final_denoising) == (False,) * 4
    # one thing at a time, and at about equal cost
    for variant, changed in ((other, 1), (step, 3), (half, 3), (raw, 4), (noisy, 5)):
        assert [a == b for a, b in zip(whole, variant, strict=True)] == [i != changed for i in range(6)]
    for variant in (whole, narrow, coarse, other, step, half, raw, noisy, old):
        assert abs(variant.ladder.n * variant.steps / (90 * 5) - 1) < 0.05
        assert variant.calls == variant.ladder.n * variant.steps + variant.final_denoising


def test_an_unconditional_network_is_divided_by_sigma_and_a_conditional_one_is_not():
    net = SimpleNamespace(apply=lambda params, x, t, cond=None: params * x + t[:, None])
    x, t = jnp.ones((3, 2)), jnp.array([0.0, 0.4, 1.0])
    unconditional, conditional = (score_network(PROCESS, net, 2.0, sees)(x, t, None) for sees in (False, True))
    np.testing.assert_allclose(unconditional, 2 * x / PROCESS.sigma(t)[:, None], rtol=1e-6)
    np.testing.assert_allclose(conditional, 2 * x + t[:, None])


@pytest.mark.slow
@pytest.mark.parametrize("name", siblings_slow(exact_variants(), NCSN_V2, CONDITIONAL))
def test_chains_of_exact_scores_end_with_the_predicted_noise(name):
    """By their own ladder, step and parameters: the last ones of this network do not pull at all."""
    variant, samplers = exact_variants()[name], Samplers(PROCESS, NET, SHAPE)
    keys = jax.random.split(jax.random.key(0), 20)
    chain = samplers.langevin(variant, keys)
    assert chain.shape == (20, *SHAPE)
    assert not np.allclose(chain[0], chain[1])
    denoised = samplers.denoised(variant.model, variant.params, chain)
    noise = chain.std() / LADDER.last
    if not variant.averaged:
        assert noise > variant.ladder.first / LADDER.last
        np.testing.assert_array_equal(denoised, chain)
        return
    assert noise == pytest.approx(variant.predicted_noise, rel=0.03)
    assert denoised.std() < chain.std() - 0.9 * LADDER.last


@pytest.mark.slow
def test_chains_are_those_of_the_librarys_sampler():
    """Key for key, but for the last level's, whose noise `annealed_langevin` draws otherwise."""
    variant, samplers = exact_variants()[NCSN_V2], Samplers(PROCESS, NET, SHAPE)
    keys = jax.random.split(jax.random.key(0), 2)
    *states, _ = samplers.states(variant, keys)
    denoise = denoiser(PROCESS, score_network(PROCESS, NET, variant.params, False), predicts="score")
    sampler, times = annealed_langevin(variant.step_size, LADDER.last, variant.steps), LADDER.times(PROCESS)
    expected = sample(keys, PROCESS, denoise, sampler, times, SHAPE, trajectory=True)
    assert len(states) == LADDER.n
    np.testing.assert_allclose(states[:-1], expected[:-1], atol=1e-3)


def test_the_predicted_noise_of_a_conditional_network_solves_the_variance_equation():
    variant = exact_variants()[CONDITIONAL]
    wider = 1.0
    for _ in range(variant.ladder.n):
        left = float(ncsn.variance_ratio(variant.step_size, LADDER.last, wider, variant.steps))
        wider = LADDER.gamma * np.sqrt(left)
    assert variant.predicted_noise == pytest.approx(np.sqrt(left), rel=1e-9)


# -- the measures ------------------------------------------------------------------------------------------------


def around(mean, error):
    """Four values of this mean and standard error."""
    return mean + error * np.sqrt(3) * np.array([-1.0, -1.0, 1.0, 1.0])


def test_changes_are_paired_and_ordered_and_chance_by_how_many_they_are():
    """Four sets: 5 % are beyond 3.18 standard errors, and the third of four must be beyond 4.18 of them."""
    sets = np.array([1.0, 5.0, 2.0, 9.0])  # what a lucky set does to both is not counted
    errors = {"a": 3.3, "b": 9.0, "c": -9.0, "d": 0.0}
    found = changes({NCSN_V2: sets} | {name: sets + around(t, 1.0) for name, t in errors.items()})
    assert list(found) == ["b", "a", "d", "c"]
    assert {name: change.verdict for name, change in found.items()} == {
        "a": "within chance", "b": "worse", "c": "better", "d": "within chance",
    }  # fmt: skip
    assert found["b"].difference == pytest.approx((9.0, 1.0))


def test_remaining_noise_is_that_on_white_and_black():
    draw = np.random.default_rng(0)
    clean = draw.choice([-1.0, -0.2, 0.5, 1.0], size=(200, 8, 8, 3), p=[0.1, 0.3, 0.2, 0.4])
    noisy = clean + 0.03 * draw.normal(size=clean.shape)
    assert remaining_noise(clean) == 0
    assert remaining_noise(noisy) == pytest.approx(0.03, rel=0.03)
    noisy[:4] = 9.0  # images of noise
    assert remaining_noise(noisy) == pytest.approx(0.03, rel=0.1)


def test_noise_images_are_counted():
    images = np.zeros((2, 10, 4, 4, 3))
    images[0, :3], images[1, 0], images[1, 1:] = 1.6, -1.6, 1.4
    images[0, 5, 0, 0, 0] = 7.0  # one value is no noise image
    assert noise_images(images) == pytest.approx(4 / 20)


@pytest.mark.slow
def test_chains_are_shown_before_each_level_and_denoised():
    variant, samplers = exact_variants()[NCSN_V2], Samplers(PROCESS, NET, SHAPE)
    found = levels(samplers, variant, jax.random.split(jax.random.key(0), 2))
    assert found.states.shape == (10, 2, *SHAPE)
    np.testing.assert_allclose(found.sigmas[[0, -1]], [8.0, 0.1])
    spread = found.states.std((1, 2, 3, 4))
    assert spread[0] == pytest.approx(8.0, rel=0.05)
    # before its moves a level has what the one before left, and data at 0 have no spread of their own
    ratio = spread[1:-1] / (found.sigmas[1:-1] * LADDER.gamma)
    assert np.all((ratio > 0.95) & (ratio < 1.05 * variant.predicted_noise))
    assert spread[-1] < 0.6 * LADDER.last


# -- a whole run -------------------------------------------------------------------------------------------------


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("σ₁, the largest distance among 370 training images", "Heun's method", "within chance"),
        "data.png loss.png variants.png levels.png",
    )
    # sixteen by sixteen by three
    assert metrics["ladder"]["gamma"] == pytest.approx(ncsn.overlap_ratio(768))
    # nine variants, Heun by both networks, and held-out images
    assert len(metrics["variants"]) == 12
    assert all(np.isfinite(row["Fréchet distance"]["mean"]) for row in metrics["variants"])
    # the same chains, one call more
    whole, not_denoised = (metrics["noise"][i] for i in (0, 7))
    assert whole["chain's end"] == not_denoised["chain's end"] == not_denoised["samples"] != whole["samples"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"samples": 1}, "--samples must be at least 2"),
        ({"sets": 1}, "--sets must be at least 2 for a standard error"),
        ({"sigma_last": 1.5}, "--sigma-last"),
        ({"langevin_steps": 0}, "--langevin-steps"),
        ({"classifier_steps": 0}, "--classifier-steps"),
    ],
)
def test_flags_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["default"], **changed)

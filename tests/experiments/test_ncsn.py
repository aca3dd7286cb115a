"""The NCSN experiment: its chains against exact scores, what its sentences say, and a whole small run."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import siblings_slow
from shown import metrics_of

from experiments import ncsn as experiment
from experiments import ncsn_report as report
from jaxgen.diffusion import ncsn, ve

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")

LADDER = experiment.Ladder(8.0, 0.1, 60)
PROCESS = ve(LADDER.last, LADDER.first)
SHAPE = (32, 32, 3)


def pulling(told):
    """The exact score of data at 0, as a network whose parameters scale it."""

    def apply(scale, x, t, cond=None):
        if told:
            return -scale * x / PROCESS.sigma(t)[:, None, None, None] ** 2
        norm = jnp.sqrt(jnp.sum(x**2, (1, 2, 3), keepdims=True))
        return -scale * np.sqrt(np.prod(SHAPE)) * x / norm

    return experiment.Network(told, SimpleNamespace(apply=apply), jnp.float32(0), jnp.float32(1), None)


def variants(**config):
    config = experiment.Config(langevin_steps=3, **config)
    return experiment.variants(config, LADDER, pulling(False), pulling(True))


# -- the chains --------------------------------------------------------------------------------------------------


def test_each_variant_lacks_what_it_says():
    network, told = object(), object()
    ladder = experiment.Ladder(25.0, 0.02, 90)
    whole, narrow, coarse, other, step, half, raw, noisy, old = experiment.variants(
        experiment.Config(langevin_steps=5), ladder, network, told
    ).values()
    assert whole.ladder == ladder
    assert whole.step_size == ncsn.step_size(25.0, 0.02, 90, 5)
    assert narrow.ladder.first == 1
    assert narrow.ladder.gamma <= ladder.gamma * (1 + 1e-9)
    assert coarse.ladder.n == old.ladder.n == 10
    assert other.network is old.network is told
    assert step.step_size == old.step_size == pytest.approx(0.2 * 0.02**2)
    assert half.step_size == whole.step_size / 2
    assert (raw.averaged, noisy.final_denoising, old.averaged, old.final_denoising) == (False,) * 4
    # one thing at a time, and at about equal cost
    for variant, changed in ((other, 1), (step, 3), (half, 3), (raw, 4), (noisy, 5)):
        assert [a == b for a, b in zip(whole, variant, strict=True)] == [i != changed for i in range(6)]
    for variant in (whole, narrow, coarse, other, step, half, raw, noisy, old):
        assert abs(variant.ladder.n * variant.steps / (90 * 5) - 1) < 0.05


def test_a_network_told_nothing_is_scaled_by_sigma_and_one_told_sigma_is_not():
    net = SimpleNamespace(apply=lambda params, x, t, cond=None: params * x + t[:, None])
    x, t = jnp.ones((3, 2)), jnp.array([0.0, 0.4, 1.0])
    blind, told = (experiment.score_network(PROCESS, net, 2.0, told)(x, t, None) for told in (False, True))
    np.testing.assert_allclose(blind, 2 * x / PROCESS.sigma(t)[:, None], rtol=1e-6)
    np.testing.assert_allclose(told, 2 * x + t[:, None])


@pytest.mark.slow
@pytest.mark.parametrize("name", siblings_slow(variants(), report.WHOLE, "without 3: a network told σ"))
def test_chains_of_exact_scores_end_with_the_predicted_noise(name):
    """By their own ladder, step and parameters: the raw ones of this network do not pull at all."""
    variant = variants()[name]
    keys = jax.random.split(jax.random.key(0), (2, 10))
    drawn = experiment.draw(variant, experiment.langevin_of(variant), PROCESS, keys, SHAPE)
    assert drawn.chain.shape == drawn.denoised.shape == (2, 10, *SHAPE)
    assert not np.allclose(drawn.chain[0], drawn.chain[1])
    noise = drawn.chain.std() / LADDER.last
    if not variant.averaged:
        assert noise > variant.ladder.first / LADDER.last
        np.testing.assert_array_equal(drawn.denoised, drawn.chain)
        return
    assert noise == pytest.approx(variant.predicted_noise, rel=0.03)
    assert drawn.denoised.std() < drawn.chain.std() - 0.9 * LADDER.last


def test_the_predicted_noise_of_a_network_told_sigma_solves_the_variance_equation():
    variant = variants()["without 3: a network told σ"]
    wider = 1.0
    for _ in range(variant.ladder.n):
        left = float(ncsn.variance_ratio(variant.step_size, LADDER.last, wider, variant.steps))
        wider = LADDER.gamma * np.sqrt(left)
    assert variant.predicted_noise == pytest.approx(np.sqrt(left), rel=1e-9)


# -- the report --------------------------------------------------------------------------------------------------


def around(mean, error):
    """Four values of this mean and standard error."""
    return mean + error * np.sqrt(3) * np.array([-1.0, -1.0, 1.0, 1.0])


def test_differences_are_chance_by_students_t_and_by_how_many_they_are():
    """Four sets: 5 % are beyond 3.18 standard errors, and the least of four must be beyond 4.86 of them."""
    told = lambda *errors: list(report.verdicts({str(i): around(t, 1.0) for i, t in enumerate(errors)}).values())
    assert told(3.1) == told(-3.1) == ["within chance"]
    assert told(3.3) == ["worse"]
    assert told(-3.3) == ["better"]
    assert told(3.3, 4.7, -4.7, 0.0) == ["within chance"] * 4
    assert told(3.3, 9.0, -9.0, 0.0) == ["within chance", "worse", "better", "within chance"]
    said = report.sorted_by_verdict(
        {"a": around(1.0, 0.9), "b": around(9.0, 1.0), "c": around(-9.0, 1.0), "d": around(30.0, 1.0)}
    )
    assert "**worse**: d +30 ± 1; b +9 ± 1." in said
    assert "**Better**: c −9 ± 1." in said
    assert "chance**: a +1 ± 0.9." in said
    assert said.count("none") == 0
    assert report.sorted_by_verdict({"a": np.zeros(4)}).count("none") == 2


def test_remaining_noise_is_that_on_white_and_black():
    draw = np.random.default_rng(0)
    clean = draw.choice([-1.0, -0.2, 0.5, 1.0], size=(200, 8, 8, 3), p=[0.1, 0.3, 0.2, 0.4])
    noisy = clean + 0.03 * draw.normal(size=clean.shape)
    assert report.remaining_noise(clean) == 0
    assert report.remaining_noise(noisy) == pytest.approx(0.03, rel=0.03)
    noisy[:4] = 9.0  # images of noise
    assert report.remaining_noise(noisy) == pytest.approx(0.03, rel=0.1)


# -- a whole run -------------------------------------------------------------------------------------------------


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("σ₁, the largest distance among 370 training images",),
        "data.png loss.png variants.png levels.png",
    )
    # sixteen by sixteen by three
    assert metrics["ladder"]["gamma"] == pytest.approx(ncsn.overlap_ratio(768))
    # nine variants, Heun by both networks, and held-out images
    assert len(metrics["variants"]) == 12
    assert all(np.isfinite(row["Fréchet distance"]["mean"]) for row in metrics["variants"])
    # the same chains, one call more
    whole, undenoised = (metrics["noise"][i] for i in (0, 7))
    assert whole["chain's end"] == undenoised["chain's end"] == undenoised["samples"] != whole["samples"]

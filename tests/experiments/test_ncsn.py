"""The NCSN experiment: its chains against exact scores, what its sentences say, and a whole small run."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shown import Shown

from experiments import ncsn as experiment
from experiments import ncsn_report as report
from jaxgen.diffusion import ncsn, ve
from jaxgen.metrics import Estimate, estimate

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


def test_a_network_told_nothing_is_divided_by_sigma_and_one_told_sigma_is_not():
    net = SimpleNamespace(apply=lambda params, x, t, cond=None: params * x + t[:, None])
    x, t = jnp.ones((3, 2)), jnp.array([0.0, 0.4, 1.0])
    blind, told = (experiment.score_network(PROCESS, net, 2.0, told)(x, t, None) for told in (False, True))
    np.testing.assert_allclose(blind, 2 * x / PROCESS.sigma(t)[:, None], rtol=1e-6)
    np.testing.assert_allclose(told, 2 * x + t[:, None])


@pytest.mark.parametrize("name", list(variants()))
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


def test_the_states_of_a_chain_go_down_the_ladder():
    variant = variants()[report.WHOLE]
    keys = jax.random.split(jax.random.key(0), (1, 6))
    path = experiment.draw(variant, experiment.langevin_of(variant), PROCESS, keys, SHAPE, trajectory=True)
    assert path.chain.shape == (1, LADDER.n, 6, *SHAPE)
    spread = path.chain[0].std((1, 2, 3, 4)) / ncsn.geometric_sigmas(*LADDER)
    assert 0.9 < spread.min() < spread.max() < 1.1 * LADDER.gamma * variant.predicted_noise


# -- the report --------------------------------------------------------------------------------------------------


class MeanOfImages:
    describe = "a mean; a floor"

    def __call__(self, images):
        return float(images.mean())


@pytest.fixture
def compared():
    """Distances that are the images' means: the whole's 1, 2, 3; another's 2, 4, 3; denoised 100 off."""
    means = {name: np.array([1.0, 2.0, 3.0]) for name in variants()}
    means["without 4: ε / 2"] = np.array([2.0, 4.0, 3.0])

    def images(values):
        return np.broadcast_to(values[:, None, None, None, None], (3, 15, *SHAPE))

    drawn = {name: experiment.Drawn(images(v + 100), images(v)) for name, v in means.items()}
    page = Shown()
    floor = images(np.array([0.5, 1.5, 1.0]))
    later = {
        report.HEUN: experiment.Drawn(floor, images(np.full(3, 9.0))),
        report.HEUN_TOLD: experiment.Drawn(floor, floor / 2),
    }
    report.compare(page, variants(), drawn, later, 49, floor, MeanOfImages())
    return page


def test_distances_are_of_what_each_variant_returns_over_the_sets_and_differences_are_paired(compared):
    rows = {row["variant"]: row for row in compared.metrics["variants"]}
    assert rows["NCSNv2"]["Fréchet distance"] == estimate(np.array([1.0, 2.0, 3.0]))
    assert rows["NCSNv2"]["minus NCSNv2's"] is None
    assert rows["without 4: ε / 2"]["minus NCSNv2's"] == estimate(np.array([1.0, 2.0, 0.0]))
    assert rows["without 5: no average"]["minus NCSNv2's"] == Estimate(0.0, 0.0)
    for name in ("without the last denoising", "NCSN*: without all"):
        assert rows[name]["minus NCSNv2's"].mean == pytest.approx(100)
    assert rows["by Heun"]["Fréchet distance"].mean == 9
    assert rows["by Heun, a network told σ"]["Fréchet distance"] == estimate(np.array([0.25, 0.75, 0.5]))
    assert rows["by Heun"]["calls"] == rows["by Heun, a network told σ"]["calls"] == 49
    assert rows["held-out images"]["Fréchet distance"] == estimate(np.array([0.5, 1.5, 1.0]))
    noise = {row["variant"]: row for row in compared.metrics["noise"]}
    assert noise["NCSNv2"]["chain's end"].mean > 10 * noise["NCSNv2"]["samples"].mean
    assert noise["without the last denoising"]["samples"] == noise["NCSNv2"]["chain's end"]
    # values of 1, 2 and 3 are 0, 1 and 2 beyond
    assert noise["NCSNv2"]["samples"].mean == pytest.approx(1 / 0.6745 / LADDER.last)
    assert noise["without 4: ε / 2"]["minus NCSNv2's"].mean == pytest.approx(1 / 0.6745 / LADDER.last)
    assert noise["without 4: ε / 2"]["noise images"] == 1
    assert noise["NCSNv2"]["noise images"] == pytest.approx(2 / 3)
    assert (noise["by Heun"]["noise images"], noise["by Heun, a network told σ"]["noise images"]) == (1, 0)
    assert "by Student's t, at 5% for all 10 together" in compared.tables[0][1]
    assert "a network told σ returns 0%: it is for having to read the noise off x" in compared.findings[-1]


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


def test_noise_images_are_counted():
    images = np.zeros((2, 10, 4, 4, 3))
    images[0, :3] = 1.6
    images[1, 0] = -1.6
    images[1, 1:] = 1.4
    images[0, 5, 0, 0, 0] = 7.0  # one value is no noise image
    assert report.noise_images(images) == pytest.approx(4 / 20)
    assert "none" in report.outside({"a": 0.0}, 20)
    assert report.outside({"a": 0.0, "b": 0.2}, 20) == "**Samples that are noise**, of 20 each: b 20%."


def test_what_is_said_of_the_last_denoising():
    high, low = np.array([1.5, 1.7, 1.6]), np.array([0.6, 0.8, 0.9])
    told = lambda before, after, *change: report.last_denoising(
        before, after, {report.UNDENOISED: around(*change), "another": around(0.0, 1.0)}
    )
    said = told(high, low, 0.03, 0.01)
    assert "lowers the noise, from 1.6 to 0.767 σ_L" in said
    assert "cannot tell (+0.03 ± 0.01)" in said
    said = told(low, high, 0.3, 0.01)
    assert "raises the noise" in said
    assert "sees it" in said
    said = told(high, high[::-1], -0.3, 0.01)
    assert "leaves the noise" in said
    assert "prefers the samples without it" in said


def test_heuns_noise_is_laid_to_the_network_only_where_the_other_has_less():
    noisy, less, none = np.array([0.3, 0.4, 0.35, 0.4]), np.array([0.02, 0.0, 0.01, 0.0]), np.zeros(4)
    assert report.whose_fault(none, noisy) == ""
    assert "told σ returns 0%: it is for having to read the noise off x" in report.whose_fault(noisy, none)
    assert "told σ returns 1%: it is mostly for having to" in report.whose_fault(noisy, less)
    for as_many in (noisy[::-1], noisy - [0.3, 0.0, 0.1, 0.0], noisy + 0.3):
        assert "it is not for having to" in report.whose_fault(noisy, as_many)


def test_what_is_said_of_the_step_size():
    chosen = variants()
    ends = dict.fromkeys(chosen, 1.0) | {"without 4: ε / 2": 33.0}
    said = report.step_sizes(chosen, ends)
    assert "which happens to lie near" in said
    assert f"33 σ_L (predicted {chosen['without 4: ε / 2'].predicted_noise:.3g})" in said
    far = chosen[report.OLD_STEP]
    assert report.variance(far) == float(ncsn.variance_ratio(far.step_size, LADDER.last, LADDER.gamma, 3))
    chosen[report.OLD_STEP] = far._replace(step_size=far.step_size / 9)
    assert "lies away from" in report.step_sizes(chosen, ends)


# -- a whole run -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole smoke run."""
    root = tmp_path_factory.mktemp("runs")
    experiment.main(replace(experiment.PRESETS["smoke"], runs=root, progress=False))
    (directory,) = (root / "ncsn").iterdir()
    return directory


def test_a_run_leaves_its_report(finished):
    page = (finished / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    figures = {file.name for file in (finished / "figures").iterdir()}
    assert figures == {"data.png", "loss.png", "variants.png", "levels.png"}
    metrics = json.loads((finished / "metrics.json").read_text())
    # sixteen by sixteen by three
    assert metrics["ladder"]["gamma"] == pytest.approx(ncsn.overlap_ratio(768))
    # nine variants, Heun by both networks, and held-out images
    assert len(metrics["variants"]) == 12
    assert all(np.isfinite(row["Fréchet distance"]["mean"]) for row in metrics["variants"])
    assert "σ₁, the largest distance among 370 training images" in page
    # the same chains, one call more
    whole, undenoised = (metrics["noise"][i] for i in (0, 7))
    assert whole["chain's end"] == undenoised["chain's end"] == undenoised["samples"] != whole["samples"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 10}, "15 samples"),
        ({"sets": 1}, "two sets"),
        ({"sigma_last": 1.5}, "--sigma-last"),
        ({"langevin_steps": 0}, "--langevin-steps"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        replace(experiment.PRESETS["smoke"], **change)

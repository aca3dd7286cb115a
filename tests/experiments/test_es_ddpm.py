"""The ES-DDPM exercise: a whole small run and its resumption, its methods, its comparison, and refusals."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from scipy.stats import ttest_rel
from shown import metrics_of

from experiments.es_ddpm import __main__ as es_ddpm
from experiments.es_ddpm import measure, report, train
from experiments.es_ddpm import methods as sampling
from experiments.es_ddpm.config import PRESETS, Config
from experiments.es_ddpm.measure_comparison import (
    Compared,
    EqualCalls,
    Fewest,
    Late,
    at_equal_calls,
    compare,
    fewest_steps,
    latest_start,
    upper_bound,
)
from experiments.es_ddpm.methods import CHAIN, VAE, late, longer
from experiments.kit import images, launch
from experiments.kit.chains import scaled_linear
from experiments.kit.run import BadInput
from experiments.kit.score_model import Model
from experiments.kit.statistics import verdict
from jaxgen.core import fold_in, noise
from jaxgen.data import render_sprites
from jaxgen.diffusion import perturb, subset_grid
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.report import table
from jaxgen.report.template import render_template
from jaxgen.samplers import ddim, ddpm, sample

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")
SMOKE = replace(PRESETS["smoke"], progress=False)


def test_a_run_leaves_its_report(finished):
    rows = metrics_of(
        finished,
        ("from T′ = 2", "DDIM, 4 longer steps", "whole chain", "Longer steps instead"),
        "data.png loss.png samples.png quality-and-time.png",
    )["methods"]
    assert {row["method"]: row["calls"] for row in rows} == {
        VAE: 0, "from T′ = 2": 2, "from T′ = 4": 4, "DDPM, 2 longer steps": 2, "DDPM, 4 longer steps": 4,
        "DDIM, 2 longer steps": 2, "DDIM, 4 longer steps": 4, CHAIN: 8,
    }  # fmt: skip


@pytest.mark.slow
def test_grey_images_without_labels_run_too(tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", render_sprites(300, 1).images[..., :1])
    flags = ["--preset", "smoke", "--no-progress", "--data", tmp_path / "images.npy", "--runs", tmp_path]
    monkeypatch.setattr(sys, "argv", ["es_ddpm", *map(str, flags)])
    launch.run(es_ddpm.main, PRESETS)
    (page,) = tmp_path.glob("es_ddpm/*/report.html")
    assert "trained on the rendered sprites" in page.read_text()


CONFIG = Config(timesteps=10, starts=(3, 1, 3), samples=10, sets=2)
GREY = SimpleNamespace(params=0.25, generate=lambda params, keys, shape: jnp.full((len(keys), 4, 4, 1), params))


class Scaling(nn.Module):
    """A network that multiplies x by its only parameter."""

    def apply(self, params, x, t, cond=None):
        return params * x


DIFFUSION = Model(scaled_linear(CONFIG.timesteps), Scaling(), 0.5, 0.7, (4, 4, 1), None)


@pytest.mark.slow
def test_methods_draw_what_sample_draws_with_keys_of_their_set():
    methods = sampling.methods(CONFIG, GREY, DIFFUSION)
    assert list(methods) == [
        VAE, late(1), late(3), longer("DDPM", 1), longer("DDPM", 3), longer("DDIM", 1), longer("DDIM", 3), CHAIN
    ]  # fmt: skip
    keys = fold_in(jax.random.split(jax.random.key(3), 10), 1)
    chain, denoise = DIFFUSION.process, DIFFUSION.denoise(0.5, clip=1.0)
    start = perturb(chain, jnp.full((10, 4, 4, 1), 0.25), 0.3, noise(fold_in(keys, 0), (4, 4, 1)))
    expected = {
        longer("DDPM", 3): sample(keys, chain, denoise, ddpm(), subset_grid(10, 3), (4, 4, 1)),
        longer("DDIM", 3): sample(keys, chain, denoise, ddim(), subset_grid(10, 3), (4, 4, 1)),
        late(3): sample(keys, chain, denoise, ddpm(), np.array([0.3, 0.2, 0.1, 0.0]), (4, 4, 1), start=start),
    }
    for name, drawn_by_sample in expected.items():
        drawn = methods[name](1)
        np.testing.assert_allclose(drawn.images, drawn_by_sample, rtol=1e-3, atol=1e-4)
        assert drawn.calls == 3
        assert drawn.seconds > 0
    alone = methods[VAE](0)
    np.testing.assert_array_equal(alone.images, 0.25)
    assert alone.calls == 0


def test_a_late_start_takes_the_chains_own_last_steps():
    np.testing.assert_allclose(sampling.last_steps(10, 3), [0.3, 0.2, 0.1, 0.0])
    np.testing.assert_array_equal(sampling.last_steps(10, 10), subset_grid(10, 10))


def test_the_bound_is_the_upper_end_of_a_one_sided_interval():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 0.3, 6), rng.normal(0.8, 0.3, 6)
    high = ttest_rel(a, b, alternative="less").confidence_interval(0.95).high
    compared = compare(a, b, 0.5)
    assert compared.bound == pytest.approx(high)
    assert compared.uncertainty == pytest.approx(high - np.mean(a - b))
    assert compared.difference == pytest.approx(mean_and_error(a - b))
    assert upper_bound(np.full(3, 0.25)) == 0.25


def method(bound, *, time=0.25, uncertainty=0.1, mean=2.0):
    """A method whose distance is so far above the whole chain's."""
    return Compared(np.full(2, mean), MeanAndError(mean, 0.0), MeanAndError(bound - uncertainty, 0.0), bound, time)


@pytest.mark.parametrize(
    ("late_starts", "expected"),
    [
        ({5: method(1.0), 9: method(0.19)}, (9, 9, True)),
        ({5: method(0.19), 9: method(0.1)}, (5, 9, True)),
        ({5: method(1.0), 9: method(0.21)}, (None, 9, True)),  # above what is allowed
        ({5: method(1.0), 9: method(0.1, time=1.1)}, (None, 9, True)),  # not faster
        ({5: method(1.0, uncertainty=0.3), 9: method(0.9, uncertainty=0.25)}, (None, 9, False)),  # too few sets
    ],
)
def test_the_latest_start_is_the_smallest_that_is_as_good_and_faster(late_starts, expected):
    assert latest_start(late_starts, 0.2) == expected


def test_the_fewest_steps_are_those_as_good_as_the_whole_chain():
    assert fewest_steps({5: method(0.1, mean=2.1), 9: method(0.0)}, 0.2) == Fewest(5, 9)
    assert fewest_steps({5: method(0.4), 9: method(0.3, mean=2.5)}, 0.2) == Fewest(None, 5)


def test_at_equal_calls_sets_are_paired():
    """The sets' own spread of 10 does not hide a difference of 1."""

    def of(*distances):
        return dict.fromkeys((5, 9), compare(np.array(distances), np.array(distances), 1.0))

    low, high = of(1.9, 12.1, 7.0), of(3.0, 13.0, 8.0)
    assert at_equal_calls(low, high) == ([5, 9], [])
    assert at_equal_calls(high, low) == ([], [5, 9])
    assert at_equal_calls(high, of(2.0, 14.0, 8.0)) == ([], [])


def findings(late_start, fewest, equal_calls, late_distances=(2.0, 2.5)):
    """The findings that report.md makes of these numbers; it is given empty figures and tables."""
    compared = {2: method(0.1)._replace(distances=np.array(late_distances)), 4: method(0.3)}
    given = dict.fromkeys(measure.Measured._fields, 1.0) | {
        "starts": [2, 4], "late": compared, "ddpm": compared, "ddim": compared, "chain": method(0.0),
        "vae": method(1.0)._replace(distances=np.array([5.0, 5.4])), "late_start": late_start, "fewest": fewest,
        "equal_calls": equal_calls, "moved": {2: 0.5}, "parameters": {"vae": 10, "diffusion": 10}, "source": "rendered",
        "trained_on": "labels", "real": np.zeros(60),
    }  # fmt: skip
    rendered = render_template(
        Path(report.__file__).with_name("report.md").read_text(),
        figures=dict.fromkeys(("data", "loss", "samples", "quality-and-time"), Figure()),
        tables={"quality": table([{"method": "none"}])},
        values={"config": CONFIG, "verdict": verdict, **given},
    )
    return [Markup(finding).striptags() for finding in rendered.findings]


def test_the_findings_follow_the_numbers():
    fewest = {"DDPM": Fewest(2, 4), "DDIM": Fewest(None, 4)}
    first, alone, longer_steps = findings(Late(2, 2, True), fewest, EqualCalls([2], [4]))
    assert first.startswith("T′ = 2 is the latest start")
    assert alone.endswith("which is better beyond chance.")
    assert "DDPM from noise is within the same 10 % with 2 steps" in longer_steps
    assert "DDIM from noise is not shown to be within 10 %" in longer_steps
    assert "late start is better than DDPM's longer steps beyond chance with 2 calls, and DDPM's" in longer_steps
    first, alone, longer_steps = findings(Late(None, 4, False), fewest, EqualCalls([], []), (4.0, 6.5))
    assert first.startswith("No T′ is both")
    assert "2 sets are too few" in first
    assert alone.endswith("which is not different beyond chance.")
    assert longer_steps.endswith("neither the late start nor DDPM's longer steps are better beyond chance.")
    assert "too few" not in findings(Late(None, 4, True), fewest, EqualCalls([], []))[0]


def test_distances_moved_are_root_mean_squares():
    assert measure.root_mean_square(np.array([3.0, -4.0, 0.0, 0.0])) == 2.5


def test_images_that_a_network_cannot_take_are_refused_before_a_run(tmp_path):
    np.save(tmp_path / "images.npy", render_sprites(60, 0).images[:, :15, :15])
    config = replace(SMOKE, data=tmp_path / "images.npy", size=15)
    with pytest.raises(BadInput):
        train.build(config, images.load(config))
    config = replace(SMOKE, images=100, vae_batch_size=200)
    with pytest.raises(BadInput, match=r"--vae-batch-size 200 exceeds the \d+ training images: lower it"):
        train.build(config, images.load(config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"starts": (200,)}, "T′ lies in"),
        ({"starts": (0,)}, "T′ lies in"),
        ({"starts": ()}, "--starts needs at least one value"),
        ({"sets": 1}, "--sets must be at least 2 for an error bar"),
        ({"samples": 9}, "--samples must be at least 10"),
        ({"margin": 0.0}, "--margin must be positive and finite"),
        ({"vae_steps": 0}, "--vae-steps must be at least 1"),
        ({"classifier_steps": 0}, "--classifier-steps must be at least 1"),
    ],
)
def test_bad_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["default"], **changes)

"""The ES-DDPM experiment: a whole small run, its bound on differences, its sentences, and refusals."""

import json
import re
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ttest_rel

from experiments import es_ddpm
from experiments import es_ddpm_report as figures
from experiments.es_ddpm_report import FAST, FULL, Compared

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole smoke run."""
    root = tmp_path_factory.mktemp("runs")
    es_ddpm.main(replace(es_ddpm.PRESETS["smoke"], runs=root, progress=False))
    (directory,) = (root / "es_ddpm").iterdir()
    return directory


def test_a_run_leaves_its_report(finished):
    page = (finished / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for words in ("from T′ = 2", "DDIM, 4 longer steps", "whole chain", "Longer steps instead"):
        assert words in page, words
    rows = json.loads((finished / "metrics.json").read_text())["methods"]
    assert {row["method"]: row["network calls"] for row in rows} == {
        FAST: 0, "from T′ = 2": 2, "from T′ = 4": 4, "DDPM, 2 longer steps": 2, "DDPM, 4 longer steps": 4,
        "DDIM, 2 longer steps": 2, "DDIM, 4 longer steps": 4, FULL: 8,
    }  # fmt: skip


def test_a_late_start_takes_the_chains_own_last_steps():
    np.testing.assert_allclose(figures.start_late(None, 10, 3), [0.3, 0.2, 0.1, 0.0])
    assert len(figures.start_late(None, 10, 10)) == 11


def test_excess_is_the_upper_end_of_a_one_sided_interval():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 0.3, 6), rng.normal(0.8, 0.3, 6)
    high = ttest_rel(a, b, alternative="less").confidence_interval(0.95).high
    found, margin = figures.excess(a, b)
    assert found == pytest.approx(high)
    assert margin == pytest.approx(high - np.mean(a - b))


def sentences(excess, seconds=None, margin=0.1):
    """The findings of methods at the distance 2, some of which may be so far above the whole chain."""
    names = [FAST, "from T′ = 5", "from T′ = 9", *(f"{k}, {n} longer steps" for k in ("DDPM", "DDIM") for n in (5, 9))]
    found = {name: Compared([2.0, 2.0], excess.get(name, 1.0), margin) for name in names}
    found |= {FULL: Compared([2.0, 2.0], 0.0, 0.0)}
    return figures.findings(found, dict.fromkeys(found, 1.0) | {FULL: 4.0} | (seconds or {}), (5, 9), 0.1)


def test_findings_say_when_nothing_could_be_shown():
    assert "too few" not in sentences({})[0]
    assert "too few" in sentences({}, margin=0.3)[0]


def test_findings_name_the_latest_start_that_is_surely_as_good():
    assert sentences({"from T′ = 9": 0.19})[0].startswith("**T′ = 9** is the latest")
    assert sentences({"from T′ = 5": 0.19, "from T′ = 9": 0.1})[0].startswith("**T′ = 5** is the latest")
    # above the margin of 10 % of 2, or not faster
    assert sentences({"from T′ = 9": 0.21})[0].startswith("**No T′** was shown")
    assert sentences({"from T′ = 9": 0.1}, {"from T′ = 9": 5.0})[0].startswith("**No T′** was shown")


def test_findings_name_what_longer_steps_reach():
    (text,) = sentences({"DDIM, 5 longer steps": 0.0})[2:]
    assert "DDPM from noise was not shown to: its lowest is 2, in 5 steps" in text
    assert "DDIM from noise takes 5 for the same" in text


def test_findings_compare_as_many_calls():
    def said(late, longer):
        found = {f"from T′ = {n}": Compared(late, 1.0, 0.1) for n in (5, 9)}
        found |= {f"DDPM, {n} longer steps": Compared(longer, 1.0, 0.1) for n in (5, 9)}
        return figures._at_equal_calls(found, (5, 9))

    # paired: the sets' own spread of 10 does not hide a difference of 1
    assert (
        said([3.0, 13.0], [1.9, 12.1]) == "At as many calls DDPM's longer steps from noise are surely better by 5, 9."
    )
    assert said([1.9, 12.1], [3.0, 13.0]) == "At as many calls the chain from T′ on is surely better by 5, 9."
    assert said([3.0, 13.0], [2.0, 14.0]) == "At as many calls neither was shown to be better."


def test_drawing_gives_each_set_its_own_keys():
    ways = {"twice": (lambda params, keys: keys * params, 7), "half": (lambda params, keys: keys / params, 1)}
    drawn = figures.draw(ways, 2.0, jnp.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(drawn["twice"].images, 2 * np.arange(6).reshape(3, 2))
    np.testing.assert_array_equal(drawn["half"].images, np.arange(6).reshape(3, 2) / 2)
    assert (drawn["twice"].calls, drawn["half"].calls) == (7, 1)
    assert min(of.seconds for of in drawn.values()) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"starts": (200,)}, "T′ lies in"),
        ({"starts": ()}, "T′ lies in"),
        ({"sets": 1}, "--sets must be at least 2 for an error bar"),
        ({"margin": 0.0}, "--margin is a positive share"),
        ({"vae_steps": 0}, "--vae-steps must be at least 1"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        es_ddpm.Config(**changes)

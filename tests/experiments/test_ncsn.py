"""The NCSN experiment from its command line: a whole small run, its variants, and what it refuses."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from experiments import ncsn as experiment
from jaxgen.diffusion import ncsn

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


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
    assert metrics["ladder"]["gamma"] == pytest.approx(ncsn.ratio(768))
    assert len(metrics["variants"]) == 9
    assert all(np.isfinite(row["Fréchet distance"]) for row in metrics["variants"])


def test_each_variant_lacks_what_it_says():
    network, told = object(), object()
    ladder = experiment.Ladder(25.0, 0.02, 90)
    whole, narrow, coarse, other, step, raw, noisy, old = experiment.variants(
        experiment.Config(), ladder, network, told
    ).values()
    assert whole.ladder == ladder
    assert narrow.ladder.first == 1
    assert narrow.ladder.gamma <= ladder.gamma * (1 + 1e-9)
    assert coarse.ladder.n == old.ladder.n == 10
    assert other.network is old.network is told
    assert step.step_size == old.step_size == pytest.approx(0.2 * 0.02**2)
    assert (raw.averaged, noisy.final_denoising, old.averaged, old.final_denoising) == (False,) * 4
    # one thing at a time, and at about equal cost
    assert [a == b for a, b in zip(whole, other, strict=True)] == [True, False, True, True, True, True]
    for variant in (whole, narrow, coarse, other, step, raw, noisy, old):
        assert abs(variant.ladder.n * variant.steps / (90 * 5) - 1) < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 10}, "15 samples"),
        ({"sigma_last": 1.5}, "--sigma-last"),
        ({"langevin_steps": 0}, "--langevin-steps"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        replace(experiment.PRESETS["smoke"], **change)

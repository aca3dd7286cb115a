"""The ES-DDPM experiment: a whole small run, its bound on differences, its sentences, and refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ttest_rel
from shown import metrics_of

from experiments import es_ddpm_report as figures
from experiments.es_ddpm_report import FAST, FULL

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


def test_a_run_leaves_its_report(finished):
    rows = metrics_of(finished, ("from T′ = 2", "DDIM, 4 longer steps", "whole chain", "Longer steps instead"))[
        "methods"
    ]
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


def test_drawing_gives_each_set_its_own_keys():
    ways = {"twice": (lambda params, keys: keys * params, 7), "half": (lambda params, keys: keys / params, 1)}
    drawn = figures.draw(ways, 2.0, jnp.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(drawn["twice"].images, 2 * np.arange(6).reshape(3, 2))
    np.testing.assert_array_equal(drawn["half"].images, np.arange(6).reshape(3, 2) / 2)
    assert (drawn["twice"].calls, drawn["half"].calls) == (7, 1)
    assert min(of.seconds for of in drawn.values()) > 0

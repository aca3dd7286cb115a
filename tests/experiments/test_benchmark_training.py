"""The benchmark's training part: its counts against arithmetic, its rows, and many devices against one."""

from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import benchmark, benchmark_training_report
from experiments.benchmark_training import ADAM, Trained, Workload, compare_networks, held, measure, peak_flops, scaling
from experiments.timing import Subject, Timing


class Dense(nn.Module):
    """One matrix, and another that only waits."""

    features: int = 512
    dtype: str | None = None
    remat: bool = False

    @nn.compact
    def __call__(self, x, t, cond=None):
        return nn.Dense(self.features, use_bias=False)(x)


WORKLOAD = Workload(Dense(), (512,), 64, steps=3, per_call=2)


@pytest.mark.slow
def test_a_training_is_measured_in_every_way():
    waits = []
    found = measure(WORKLOAD, 2, lambda i: None, lambda bare: {"other": Subject(3, lambda: waits.append(1), bare)})
    assert list(found.timings) == [ADAM, "step", "fit", "fit, data streamed", "fit, 2 steps a call", "other"]
    assert len(waits) == 3  # once to warm up, then in each round
    assert all(timing.run.shape == timing.network.shape == (2,) for timing in found.timings.values())
    # x W and its gradient in W: two products of (64, 512) and (512, 512); noise and loss are of size (64, 512)
    assert 1 < found.flop / (2 * 2 * 64 * 512 * 512) < 1.15
    # parameters, two moments, the average and the batch at least
    assert found.memory > 4 * (4 * 512 * 512 + 64 * 512)
    assert set(found.waits) == {"fit", "fit, data streamed"}
    assert all(0 < wait < 1 for wait in found.waits.values())


def test_memory_is_that_of_the_arrays():
    x = jnp.ones((256, 1024))
    assert held(jax.jit(lambda x: 2 * x).lower(x).compile()) == pytest.approx(2 * x.nbytes, rel=0.01)
    assert held(jax.jit(lambda x: 2 * x, donate_argnums=0).lower(x).compile()) == pytest.approx(x.nbytes, rel=0.01)


def test_the_peak_is_above_what_a_matrix_product_reaches():
    peak = peak_flops(jax.devices()[0], jnp.float32)
    assert 1e8 < peak < 1e13  # of one CPU


@pytest.mark.slow
def test_networks_are_compared_with_the_first():
    found = compare_networks({"a": Dense(), "b": Dense()}, WORKLOAD, 2, lambda i: None)
    assert {name: size for name, (_, size) in found.items()} == dict.fromkeys("ab", found["a"][1])


def test_rows_are_ratios_within_a_round():
    timing = Timing(np.array([2.0, 4.0, 9.0]), np.array([1.0, 2.0, 3.0]))
    trained = Trained({ADAM: timing, "step": timing, "fit": timing}, 100.0, 1.0, {"fit": 0.5})
    _, row, fit = benchmark_training_report.way_rows(WORKLOAD, trained)
    assert (row["over bare"], row["ms per step"]) == (2.0, pytest.approx(4000 / 3))
    assert row["images per second"] == pytest.approx(64 * row["steps per second"]) == pytest.approx(64 * 3 / 4)
    assert (row["waits (ms)"], fit["waits (ms)"]) == (None, 500.0)
    said = benchmark_training_report.finding({"net": (WORKLOAD, trained)})
    assert "by hand 2.000, a step 2.000, the whole loop 2.000 (fit)" in said
    assert "Not all are within 1.05" in said
    quick = Timing(np.array([1.01, 2.0]), np.array([1.0, 2.0]))
    assert "Not all" not in benchmark_training_report.finding(
        {"n": (WORKLOAD, Trained({ADAM: quick, "step": quick, "fit": quick}, 1, 1, 1))}
    )


@pytest.mark.slow
def test_devices_share_the_work_and_the_state():
    rows = scaling((1, 4), "fully_sharded", 32, 8, 4, 3)
    table = benchmark_training_report.scaling_rows(rows)
    assert [row["devices"] for row in table] == [1, 4]
    assert len(rows[0]["losses"]) == 3
    assert table[0]["losses differ by"] == 0
    assert table[1]["losses differ by"] < 1e-4
    sizes = [row["bytes of parameters and moments per device"] for row in rows]
    assert 0.25 < sizes[1] / sizes[0] < 0.4  # small arrays stay whole
    with pytest.raises(RuntimeError, match="training on 3 devices failed"):
        scaling((3,), "data_parallel", 8, 8, 4, 1)


@pytest.mark.slow
def test_a_run_leaves_its_report(tmp_path):
    config = replace(benchmark.PRESETS["smoke"], runs=tmp_path, part="training", peers="off")
    page = benchmark.main(config).read_text()
    for words in ("multiples of the bare value and gradient", "remat", "GFLOP per step", "fully sharded"):
        assert words in page, words

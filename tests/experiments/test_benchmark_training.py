"""The benchmark's training part: its counts against arithmetic, its rows, and many devices against one."""

from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmark import report_training, train
from experiments.benchmark.config import PRESETS, Config
from experiments.benchmark.cost import peak_bytes, peak_flops
from experiments.benchmark.measure_devices import measure_devices, train_on
from experiments.benchmark.measure_steps import ADAM, Trained, time_training, time_variants
from experiments.benchmark.measure_training import default_device
from experiments.benchmark.train import Workload
from experiments.kit.timing import Subject, Timing


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
    found = time_training(
        "dense", WORKLOAD, 2, lambda i: None, lambda bare: {"other": Subject(3, lambda: waits.append(1), bare)}
    )
    assert list(found.timings) == [ADAM, "step", "fit", "fit, data streamed", "fit, 2 steps a call", "other"]
    assert len(waits) == 3  # once to warm up, then in each round
    assert all(timing.run.shape == timing.network.shape == (2,) for timing in found.timings.values())
    assert found.flop == 2 * 2 * 64 * 512 * 512  # x W and its gradient in W: two products of (64, 512) and (512, 512)
    # parameters, two moments, the average and the batch at least
    assert found.memory_bytes > 4 * (4 * 512 * 512 + 64 * 512)
    assert set(found.waits) == {"fit", "fit, data streamed"}
    assert all(0 < wait < 1 for wait in found.waits.values())


def test_memory_is_that_of_the_arrays():
    x = jnp.ones((256, 1024))
    assert peak_bytes(jax.jit(lambda x: 2 * x).lower(x).compile()) == pytest.approx(2 * x.nbytes, rel=0.01)
    assert peak_bytes(jax.jit(lambda x: 2 * x, donate_argnums=0).lower(x).compile()) == pytest.approx(
        x.nbytes, rel=0.01
    )


def test_the_peak_is_above_what_a_matrix_product_reaches():
    peak = peak_flops(jax.devices()[0], jnp.float32)
    assert 1e8 < peak < 1e13  # of one CPU


@pytest.mark.slow
def test_networks_are_compared_with_the_first():
    found = time_variants({"a": Dense(), "b": Dense()}, WORKLOAD, 2, lambda i: None)
    assert {name: size for name, (_, size) in found.items()} == dict.fromkeys("ab", found["a"][1])


def test_rows_are_ratios_within_a_round():
    timing = Timing(np.array([2.0, 4.0, 9.0]), np.array([1.0, 2.0, 3.0]))
    ways = {ADAM: timing, "step": timing, "fit": Timing(np.array([3.0, 3.0, 3.0]), timing.network), "fit, fed": timing}
    trained = Trained("net", 64, 3, ways, 100.0, 1.0, {"fit": 0.5})
    _, row, fit, _ = report_training.way_rows(trained)
    assert (row["relative time"], row["ms per step"]) == (2.0, pytest.approx(4000 / 3))
    assert row["images per second"] == pytest.approx(64 * row["steps per second"]) == pytest.approx(64 * 3 / 4)
    assert (row["waits (ms)"], fit["waits (ms)"]) == (None, 500.0)
    assert trained.best_loop == "fit"
    assert trained.flop_per_second == pytest.approx(100 / (4 / 3))


def test_what_is_trained():
    unet, *mlps = train.workloads(Config()).values()
    assert (unet.shape, unet.batch, unet.steps, unet.per_call) == ((16, 16, 3), 64, 4, 4)
    assert [(of.shape, of.batch, of.steps) for of in mlps] == [((2,), 256, 200), ((2,), 2048, 25)]
    variants = train.variants(Config())
    assert list(variants) == ["float32", "bfloat16", "float32, remat"]
    assert variants["float32, remat"].remat
    assert list(train.variants(Config(network="mlp"))) == ["float32", "bfloat16"]


def test_training_runs_on_the_device_that_is_asked_for():
    *_, last = jax.devices()
    with default_device(last):
        assert jnp.ones(3).devices() == {last}
    assert jnp.ones(3).devices() == {jax.devices()[0]}


@pytest.mark.slow
def test_devices_share_the_work_and_the_state():
    config = replace(PRESETS["smoke"], network="mlp", features=128, training_steps=3)
    rows = [train_on(config, "cpu", n)[1] for n in (1, 4)]
    table = report_training.scaling_rows(rows)
    assert [(row["devices"], row["how"]) for row in table] == [(1, "fully sharded"), (4, "fully sharded")]
    assert len(rows[0].losses) == 3
    assert table[0]["losses differ by"] == 0
    assert table[1]["losses differ by"] < 1e-4
    assert 0.25 < rows[1].bytes_per_device / rows[0].bytes_per_device < 0.4  # small arrays stay whole


def test_what_fails_on_some_devices_leaves_the_rest(monkeypatch):
    """The rows are ordered by layout, then by number of devices."""

    class Run:
        config = replace(PRESETS["smoke"], training_devices=(1, 2, 4), progress=False)

        def stage(self, name, compute):
            if name == "devices/4":
                raise RuntimeError("training on 4 devices failed")
            n = int(name.removeprefix("devices/"))
            return [report_training.Scaled(n, how, 1.0, 1, [1.0]) for how in ("data_parallel", "fully_sharded")]

    scaled, failure = measure_devices(Run(), "cpu")
    assert [(of.how[0], of.devices) for of in scaled] == [("d", 1), ("d", 2), ("f", 1), ("f", 2)]
    assert failure == "training on 4 devices failed"


@pytest.mark.slow
def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"training on 3 devices failed: a batch of 4 cannot be split over 3"):
        train_on(PRESETS["smoke"], "cpu", 3)

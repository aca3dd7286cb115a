"""How experiments train: what their flags make of the state, the batches and the calls."""

import sys
import types
from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from oracles import slow
from some_exercise import SOME

from experiments.kit import training
from experiments.kit.config import TrainingConfig
from experiments.kit.export import load_parameters
from experiments.kit.run import BadInput, begin
from jaxgen.training import History

CONFIG = TrainingConfig(preset="smoke", steps=40, batch_size=8, learning_rate=0.05, progress=False)
DATA = np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32)
PARAMS = {"layer": {"w": jnp.ones((64, 64))}}


def loss(key, params, batch):
    return ((batch[0] @ params["layer"]["w"]) ** 2).mean(-1)


def train(run, **options):
    held_out_loss = lambda params: params["layer"]["w"].sum()
    return training.train_network(run, "net", PARAMS, loss, (DATA,), held_out_loss=held_out_loss, seed=0, **options)


@pytest.fixture
def seen(monkeypatch):
    """What `fit` is given."""
    calls, fit = [], training.fit

    def spy(step, state, batches, **how):
        calls.append((jax.tree.map(lambda x: x.sharding, state), batches, how))
        return fit(step, state, batches, **how)

    monkeypatch.setattr(training, "fit", spy)
    return calls


def test_a_trained_network_is_exported_and_not_trained_again(tmp_path, seen):
    run = begin(SOME, replace(CONFIG, runs=tmp_path), [])
    trained = train(run)
    exported = load_parameters(run.directory / "net" / "params.safetensors")
    np.testing.assert_array_equal(exported["layer"]["w"], trained.averaged["layer"]["w"])
    again = train(run)
    assert len(seen) == 1
    np.testing.assert_array_equal(again.averaged["layer"]["w"], trained.averaged["layer"]["w"])
    np.testing.assert_array_equal(again.history["loss"], trained.history["loss"])
    with pytest.raises(BadInput, match="was trained for 40 steps already: give --steps at least that"):
        train(run, steps=20)
    with pytest.raises(FileNotFoundError, match="a run writes it when its network is trained"):
        load_parameters(run.directory / "params.safetensors")


def test_a_network_may_have_its_own_steps_and_batch_size(tmp_path, seen):
    trained = train(begin(SOME, replace(CONFIG, runs=tmp_path), []), steps=2, batch_size=4)
    assert trained.history["loss"][0][-1] == 2
    assert seen[0][1].batch_size == 4


def test_stopped_in_the_middle_it_ends_as_the_run_never_stopped(tmp_path, monkeypatch):
    runs = [begin(SOME, replace(CONFIG, runs=tmp_path / name, checkpoint_every=10), []) for name in "ab"]
    whole, fit = train(runs[0]), training.fit

    def stopped(step, state, batches, *, on_log, **how):
        def stop(at, row):
            if at == 25:
                raise OSError("the disk is gone")

        return fit(step, state, batches, on_log=stop, **how)

    with monkeypatch.context() as patched:
        patched.setattr(training, "fit", stopped)
        with pytest.raises(OSError, match="the disk is gone"):
            train(runs[1])
    resumed = train(runs[1])
    np.testing.assert_array_equal(resumed.averaged["layer"]["w"], whole.averaged["layer"]["w"])
    assert History.read(runs[1].directory / "net" / "metrics.jsonl").rows == whole.history.rows


@pytest.mark.parametrize("decay", ["constant", "cosine", "linear"])
@pytest.mark.parametrize("steps", [1, 6, 1000])
def test_the_learning_rate_rises_and_ends_with_the_run(decay, steps):
    rate = training.learning_rate(2.0, steps, decay)
    warmup = min(100, max(1, steps // 10))
    assert rate(0) == 0
    assert rate(warmup) == pytest.approx(2.0)
    if steps > warmup:
        assert rate(steps) == pytest.approx(2.0 if decay == "constant" else 0.0, abs=1e-6)
    if steps == 1000 and decay != "constant":
        middle = {"cosine": 1.0, "linear": 1.0}[decay]
        assert rate(550) == pytest.approx(middle, rel=1e-5)


class Writer:
    """Stands in for tensorboardX.SummaryWriter."""

    rows: ClassVar = []

    def __init__(self, directory):
        self.directory = directory

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def add_scalar(self, name, value, step):
        self.rows.append((name, step))


def test_losses_are_logged_where_asked(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    train(begin(SOME, replace(CONFIG, runs=tmp_path, log="tensorboard"), []))
    assert {("loss", 40), ("eval/loss", 40)} <= set(Writer.rows)
    for name, package in (("tensorboard", "tensorboardX"), ("wandb", "wandb")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(BadInput, match=f"--log {name} needs {package}: pip install {package}"):
            train(begin(SOME, replace(CONFIG, runs=tmp_path, log=name), []))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "state", "batch"),
    [
        slow({}, None, None),
        slow({"data_parallel": True}, PartitionSpec(), PartitionSpec("data")),
        ({"fully_sharded": True}, PartitionSpec("data"), PartitionSpec("data")),
        ({"cores": 2}, PartitionSpec(), PartitionSpec("data")),
    ],
)
@pytest.mark.parametrize("steps_per_call", [1, 3])
def test_flags_become_layouts(tmp_path, seen, flags, state, batch, steps_per_call):
    trained = train(begin(SOME, replace(CONFIG, runs=tmp_path, steps=75, steps_per_call=steps_per_call, **flags), []))
    ((layout, batches, how),) = seen
    for of in (layout.params, layout.ema, layout.opt_state[1][0].mu):
        assert getattr(of["layer"]["w"], "spec", None) == state
    assert getattr(batches(0)[0].sharding, "spec", None) == batch
    assert how["steps_per_call"] == steps_per_call
    # no call is cut short by the log or the evaluations
    assert how["log_every"] % steps_per_call == how["evaluate_every"] % steps_per_call == 0
    assert {len(x.devices()) for x in jax.tree.leaves((trained.params, trained.averaged))} == {1}
    assert trained.history["loss"][1][-1] < 0.8 * trained.history["loss"][1][0]

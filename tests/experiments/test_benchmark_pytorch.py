"""The times beside PyTorch: what is timed of both libraries, and that the ratio is ours over theirs."""

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import jax
import pytest

from experiments.benchmark import __main__ as benchmark
from experiments.benchmark import peers
from experiments.benchmark.config import PRESETS, Config
from experiments.kit.run import BadInput
from experiments.kit.timing import Subject

SECONDS = 0.2
CONFIG = replace(
    PRESETS["smoke"], part="pytorch", call_batch_sizes=(2, 16), step_batch_sizes=(8,), ddim_batch_sizes=(2,),
    ddim_steps=3, training_steps=2, cores=8, progress=False,
)  # fmt: skip


@pytest.fixture
def rival(monkeypatch):
    """A library that takes its time, and records what it is asked for."""
    asked = []
    model = SimpleNamespace(train=lambda: None, eval=lambda: None)
    monkeypatch.setattr(peers, "wanted", lambda config, found: True)
    monkeypatch.setattr(peers, "versions", dict)
    monkeypatch.setattr(peers, "network_of", lambda config, platform: peers.Network(model, None, 1000))
    monkeypatch.setattr(peers, "set_threads", lambda network, shape: 1)

    def slow(task):
        def begin(network, shape, n):
            asked.append((task, shape, n))
            return lambda: time.sleep(SECONDS)

        return begin

    monkeypatch.setattr(peers, "bare_calls", slow("call"))
    monkeypatch.setattr(peers, "training", slow("training step"))

    def ddim(network, name, steps, calls, shape):
        return Subject(calls, slow(name)(network, shape, steps), None)

    monkeypatch.setattr(peers, "subject", ddim)
    return asked


@pytest.mark.slow
def test_every_task_is_timed_beside_its_rival(rival, tmp_path, capsys):
    path = benchmark.main(replace(CONFIG, runs=tmp_path))
    side = CONFIG.size
    assert rival == [
        ("call", (2, 3, side, side), 2), ("call", (16, 3, side, side), 2), ("training step", (8, 3, side, side), 2),
        ("ddim", (2, 3, side, side), 3),
    ]  # fmt: skip
    found = json.loads((path.parent / "metrics.json").read_text())["pytorch"]
    rows = {(row["task"], row["batch"]): row for row in found["rows"]}
    # of two calls or steps in a measurement, and of a whole batch
    for task, count in (("call", 2), ("training step", 2), ("DDIM", 1)):
        shown = [row for (of, _), row in rows.items() if of == task]
        assert all(1e3 * SECONDS / count <= row["PyTorch (ms)"] < 1.5e3 * SECONDS / count for row in shown)
    assert {key for key, row in rows.items() if row["cores share (ms)"]} == {("call", 16), ("training step", 8)}
    for row in rows.values():
        assert float(row["ratio"].split()[0]) == pytest.approx(row["one device (ms)"] / row["PyTorch (ms)"], abs=0.1)
    assert "Beside PyTorch" in path.read_text()
    assert "Beside PyTorch" in capsys.readouterr().out


def test_it_needs_the_rival(monkeypatch):
    config, cpu = replace(Config(), part="pytorch"), jax.devices("cpu")
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"--part pytorch needs torch and diffusers: pip install"):
        peers.wanted(config, cpu)
    monkeypatch.setattr(peers, "find_spec", lambda name: name)
    assert peers.wanted(config, cpu)
    for flags in ({"network": "mlp"}, {"precision": "bfloat16"}, {"peers": "off"}):
        with pytest.raises(BadInput, match="--part pytorch"):
            peers.wanted(replace(config, **flags), cpu)

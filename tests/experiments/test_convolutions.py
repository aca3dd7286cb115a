"""The table of a CPU's libraries for convolutions."""

import json

import pytest

from experiments.benchmark import convolutions
from experiments.benchmark.convolutions import LIBRARIES, Times, median, rows
from experiments.kit.timing import threads


def test_the_median_of_the_rounds_is_shown():
    rounds = [Times("Eigen", 2, call, 1.5, {32: 10 * call}) for call in (3.0, 1.0, 2.0)]
    assert median(rounds) == Times("Eigen", 2, 2.0, 1.5, {32: 20.0})
    (row,) = rows([median(rounds)], 48)
    assert row == {
        "convolutions": "Eigen",
        "devices": 2,
        "call in a loop, batch 48": 2.0,
        "cores busy": 1.5,
        "training step, batch 32": 20.0,
    }


@pytest.mark.parametrize(
    ("sizes", "message"),
    [({"rounds": 0}, "all numbers must be positive"), ({"call_batch_size": 10**6 + 1}, "give multiples of")],
)
def test_unfit_sizes_are_refused(sizes, message, monkeypatch):
    monkeypatch.setattr(convolutions, "threads", lambda: 2)
    with pytest.raises(SystemExit, match=message):
        convolutions.main(**sizes)


@pytest.mark.slow
def test_each_choice_is_timed_in_a_process_of_its_own(tmp_path, capsys):
    batch = 4 * threads()
    convolutions.main(
        features=8, multipliers=(1,), size=8, call_batch_size=batch, step_batch_sizes=(batch,), rounds=1,
        save=tmp_path / "times.json",
    )  # fmt: skip
    found = json.loads((tmp_path / "times.json").read_text())
    assert {(of["library"], of["devices"]) for of in found} == {
        (library, n) for library in LIBRARIES for n in {1, threads()}
    }
    assert all(of["call"] > 0 and of["steps"][str(batch)] > 0 for of in found)
    assert "training step" in capsys.readouterr().out

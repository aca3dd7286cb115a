import json
import os

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.training import History
from jaxgen.training.log import MetricsLog


def test_rows_come_one_push_late(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    log = MetricsLog(path)
    assert log.push(10, {"loss": jnp.float32(0.1)}) is None
    assert path.read_text() == ""
    assert log.push(20, {"loss": jnp.float32(0.2), "eval/fd": np.float64(3)}) == {
        "step": 10,
        "loss": float(np.float32(0.1)),
    }
    assert path.read_text().count("\n") == 1
    assert log.flush() == {"step": 20, "loss": float(np.float32(0.2)), "eval/fd": 3.0}
    assert log.flush() is None
    log.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == log.history.rows


def test_history_is_curves():
    history = History([{"step": 5, "loss": 1.0}, {"step": 10, "loss": 0.5, "eval/fd": 9.0}])
    assert history.names == ["loss", "eval/fd"]
    np.testing.assert_array_equal(history["loss"], [[5, 10], [1.0, 0.5]])
    np.testing.assert_array_equal(history["eval/fd"], [[10], [9.0]])
    with pytest.raises(KeyError, match="no metric 'accuracy'; logged: loss, eval/fd"):
        history["accuracy"]
    with pytest.raises(KeyError, match="logged: nothing"):
        History([])["loss"]


def test_values_survive_the_file_exactly(tmp_path):
    values = [*np.random.default_rng(0).normal(size=5).astype(np.float32), np.float32(1e-42), np.nan, np.inf]
    log = MetricsLog(tmp_path / "m.jsonl")
    for step, value in enumerate(values, 1):
        log.push(step, {"loss": jnp.float32(value)})
    log.flush()
    steps, read = History.read(tmp_path / "m.jsonl")["loss"]
    np.testing.assert_array_equal(steps, np.arange(1, 9))
    np.testing.assert_array_equal(read.astype(np.float32), np.asarray(values, np.float32))


def test_a_continued_log_is_cut_back(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text(
        "".join(json.dumps({"step": step, "loss": step / 3}) + "\n" for step in (5, 10, 15)) + '{"step": 20, "lo'
    )
    assert History.read(path)["loss"][0].tolist() == [5, 10, 15]
    log = MetricsLog(path, step=10)
    log.push(15, {"loss": 0.25})
    log.flush()
    assert History.read(path).rows == log.history.rows
    assert log.history.rows == [{"step": 5, "loss": 5 / 3}, {"step": 10, "loss": 10 / 3}, {"step": 15, "loss": 0.25}]
    assert [p.name for p in tmp_path.iterdir()] == ["m.jsonl"]


def test_a_complete_last_line_without_newline_counts(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}')
    assert History.read(tmp_path / "m.jsonl")["loss"][0].tolist() == [1, 2]


@pytest.mark.parametrize("line", ['{"step": 2, "lo', "[]", "7", '{"loss": 1.0}', ""])
def test_a_broken_line_in_the_middle_is_refused(tmp_path, line):
    (tmp_path / "m.jsonl").write_text('{"step": 1, "loss": 2.0}\n' + line + '\n{"step": 3, "loss": 1.0}\n')
    with pytest.raises(ValueError, match=r"m\.jsonl, line 2: expected a JSON object with a step"):
        History.read(tmp_path / "m.jsonl")


def test_refuses_what_is_no_row():
    log = MetricsLog(None)
    with pytest.raises(ValueError, match=r"'losses' has shape \(3,\); take its mean"):
        log.push(1, {"losses": jnp.ones(3)})
    with pytest.raises(ValueError, match="may be called step"):
        log.push(1, {"step": 1})


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_named_and_loses_no_row(tmp_path):
    path = tmp_path / "m.jsonl"
    log = MetricsLog(path)
    log.push(1, {"loss": 0.5})
    log.push(2, {"loss": 0.25})
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._file.fileno())
    os.close(full)
    with pytest.raises(OSError, match=rf"{path} could not be written \(disk /\S*: .* MB free\): .*No space left"):
        log.push(3, {"loss": 0.125})
    log.close()  # without another error, nor the row that failed
    assert History.read(path).rows == [{"step": 1, "loss": 0.5}]

    again = MetricsLog(path, step=1)
    again.push(2, {"loss": 0.25})
    again.flush()
    assert [row["step"] for row in History.read(path).rows] == [1, 2]


def test_a_log_that_cannot_be_cut_back_is_left_as_it_is(tmp_path, monkeypatch):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    before = path.read_bytes()

    def no_space(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(OSError, match=rf"{path} could not be written"):
            MetricsLog(path, step=1)
    assert path.read_bytes() == before
    MetricsLog(path, step=1).close()
    assert len(History.read(path).rows) == 1

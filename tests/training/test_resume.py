"""A run that was killed or stopped, and resumed, is the run that was never stopped: in real processes, bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("regression.py")


def run(directory, *arguments):
    return subprocess.run(
        [sys.executable, PROGRAM, directory, *arguments],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def log_rows(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    directory = tmp_path_factory.mktemp("never_stopped")
    child = run(directory, "none", "0")
    assert child.returncode == 0, child.stderr
    return directory


def assert_same_run(directory, expected):
    with np.load(directory / "final.npz") as ours, np.load(expected / "final.npz") as theirs:
        assert len(ours.files) == len(theirs.files) > 10
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name])
    assert log_rows(directory) == log_rows(expected)


def test_the_run_learns_and_logs(never_stopped):
    rows = log_rows(never_stopped)
    steps = [row["step"] for row in rows]
    assert steps == sorted({*range(3, 61, 3), *range(10, 61, 10)})
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == 20
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])
    assert [row["step"] for row in rows if "eval/norm" in row] == [10, 20, 30, 40, 50, 60]


def test_killed_between_checkpoints(tmp_path, never_stopped):
    killed = run(tmp_path, "SIGKILL", "37")
    assert killed.returncode == -9
    assert "Stopping" not in killed.stderr
    resumed = run(tmp_path, "none", "0", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    # the save of step 32 may still have been on its way to the disk
    assert resumed.stdout.strip() in ("from 32", "from 24")
    assert_same_run(tmp_path, never_stopped)


def test_stopped_politely(tmp_path, never_stopped):
    stopped = run(tmp_path, "SIGTERM", "21")
    assert stopped.returncode == 3, stopped.stderr
    assert f"SIGTERM at step 22 of 60, saved in {tmp_path / 'checkpoints'}; --resume continues" in stopped.stdout
    assert "Stopping after this step" in stopped.stderr
    resumed = run(tmp_path, "none", "0", "--resume")
    assert resumed.stdout.strip() == "from 22", resumed.stderr
    assert_same_run(tmp_path, never_stopped)

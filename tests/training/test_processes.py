"""Training by several processes on this machine: the same curve, one log, each its own rows, one checkpoint."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from oracles import nightly

from jaxgen.training import Checkpoints, History
from jaxgen.training.lock import acquire_lock

PROGRAM = Path(__file__).with_name("several.py")
ROOT = PROGRAM.parents[2]


def begin(directory, how, processes, *flags):
    """The running processes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    return [
        subprocess.Popen(
            [sys.executable, PROGRAM, directory, how, str(processes), str(i), str(port), *flags],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i in range(processes)
    ]  # fmt: skip


def end(children, status=0):
    """What they printed, having ended with this status."""
    said = []
    for child in children:
        try:
            out, err = child.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            for other in children:
                other.kill()
            raise
        assert child.returncode == status, err[-3000:]
        said.append(out)
    return said


def run_here(directory, resume=False):
    """Train in this process, which saves its start."""
    spec = importlib.util.spec_from_file_location("several", PROGRAM)
    several = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(several)
    several.main(directory, "whole", 1, 0, None, resume, False, False)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    directory = tmp_path_factory.mktemp("alone")
    run_here(directory)
    return directory


def assert_same(directory, expected, processes):
    ours, theirs = (History.read(at / "metrics.jsonl") for at in (directory, expected))
    assert [row["step"] for row in ours.rows] == [row["step"] for row in theirs.rows]
    for name in ("loss", "grad_norm", "eval/norm"):
        np.testing.assert_allclose(ours[name][1], theirs[name][1], rtol=2e-5)
    with np.load(expected / "final0.npz") as final:
        for i in range(processes):
            with np.load(directory / f"final{i}.npz") as found:
                for name in ("in", "out"):
                    np.testing.assert_allclose(found[name], final[name], rtol=1e-4, atol=1e-6)


@nightly(("how", "processes"), [("split", 2), ("whole", 2), ("split", 4)])
def test_processes_train_like_one(tmp_path, alone, how, processes):
    said = end(begin(tmp_path, how, processes))
    assert_same(tmp_path, alone, processes)
    assert all("step 40" in out for out in said)
    losses = History.read(tmp_path / "metrics.jsonl")["loss"][1]
    assert losses[-1] < 0.5 * losses[0]
    with np.load(alone / "final0.npz") as final:
        everything = final["read"]
    for i in range(processes):
        with np.load(tmp_path / f"final{i}.npz") as found:
            assert found["read"] == everything / processes  # its own rows, no others
    # nothing is left to train, and all know what was
    end(begin(tmp_path, how, processes, "--resume"))


@pytest.mark.slow
def test_all_end_where_one_finds_the_directory_in_use(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with acquire_lock(tmp_path / "checkpoints" / ".lock"):
        children = begin(tmp_path, "whole", 2)
        try:
            said = [child.communicate(timeout=120)[1] for child in children]
        finally:
            for child in children:
                child.kill()
    assert all("DirectoryInUse: " in errors for errors in said)


@nightly("processes", [1, 2])
def test_a_signal_to_one_stops_all_and_they_or_one_process_goes_on(tmp_path, alone, processes):
    children = begin(tmp_path, "split", 2, "--slow")
    for line in children[1].stdout:
        if "step 5" in line:
            break
    children[1].send_signal(signal.SIGTERM)
    said = end(children, status=3)
    assert all("SIGTERM at step" in out and "--resume continues" in out for out in said)
    if processes == 1:
        run_here(tmp_path, resume=True)
    else:
        end(begin(tmp_path, "split", processes, "--resume"))
    assert_same(tmp_path, alone, processes)
    with np.load(alone / "final0.npz") as whole, np.load(tmp_path / "final0.npz") as found:
        # each process reads its own rows alone, of 16 in a batch, and none of the steps before the signal
        done = int(said[0].split("SIGTERM at step ")[1].split()[0])
        assert found["read"] == (whole["read"] - 16 * done) / processes


@pytest.mark.slow
def test_all_go_back_where_one_cannot_read_the_newest_checkpoint(tmp_path, alone):
    shutil.copytree(alone, tmp_path, dirs_exist_ok=True)
    said = end(begin(tmp_path, "split", 2, "--resume", "--unreadable"))
    assert all("step 35\n" in out and "step 30\n" not in out for out in said)
    assert (tmp_path / "checkpoints" / "40.damaged").is_dir()
    assert_same(tmp_path, alone, 2)


def half_written(directory):
    """Whether a save has begun that has not ended."""
    return any((directory / "checkpoints").glob("*.orbax-checkpoint-tmp*"))


@pytest.mark.slow
def test_processes_killed_while_they_save_lose_no_checkpoint(tmp_path, alone):
    moments, kept, halved = np.random.default_rng(0), [], 0
    for attempt in range(8):
        children = begin(tmp_path, "split", 2, "--slow", *["--resume"] * (kept != []))
        victim, other = children[:: (-1) ** attempt]
        for line in victim.stdout:
            if line in ("step 15\n", "step 30\n", "step 40\n"):  # printed right before that step is saved
                break
        while attempt % 2 and not half_written(tmp_path) and victim.poll() is None:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.02 if attempt % 2 else 0.3))
        victim.kill()
        time.sleep(moments.uniform(0, 1))
        other.kill()
        for child in children:
            child.communicate()
        halved += half_written(tmp_path)
        steps = Checkpoints(tmp_path / "checkpoints").steps
        assert set(kept) <= set(steps)
        kept = steps
    assert halved
    end(begin(tmp_path, "split", 2, *["--resume"] * (kept != [])))
    assert_same(tmp_path, alone, 2)

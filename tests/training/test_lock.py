import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from jaxgen.training import DirectoryInUse, lock
from jaxgen.training.lock import acquire_lock

pytest.importorskip("fcntl")
ROOT = Path(__file__).parents[2]


def start(program, path):
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    return child, child.stdout.readline().strip()


def test_held_until_closed(tmp_path):
    path = tmp_path / ".lock"
    held = acquire_lock(path)
    with pytest.raises(DirectoryInUse, match=rf"^{tmp_path} is in use by process {os.getpid()} on .*, this very one"):
        acquire_lock(path)
    held.close()
    acquire_lock(path)  # released as soon as nothing refers to it
    acquire_lock(path).close()


HOLDS_AND_FORKS = """
    import os, sys, time
    from pathlib import Path
    from jaxgen.training.lock import acquire_lock
    held = acquire_lock(Path(sys.argv[1]))
    worker = os.fork()
    if worker == 0:
        os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(600)
"""


def test_neither_a_killed_process_nor_a_worker_that_outlives_it_holds_anything(tmp_path):
    path = tmp_path / ".lock"
    child, worker = start(HOLDS_AND_FORKS, path)
    try:
        message = rf"in use by process {child.pid} on \S+: wait for it, or stop it first"
        with pytest.raises(DirectoryInUse, match=message):
            acquire_lock(path)
        child.kill()
        child.wait()
        time.sleep(0.05)
        acquire_lock(path).close()
    finally:
        os.kill(int(worker), signal.SIGKILL)
        child.stdout.close()


def test_without_locks_nothing_is_held(tmp_path, monkeypatch):
    path = tmp_path / ".lock"

    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    with monkeypatch.context() as patch:
        patch.setattr(lock.fcntl, "flock", no_locks)
        assert acquire_lock(path) is None
    monkeypatch.setattr(lock, "fcntl", None)
    assert acquire_lock(path) is None
    assert acquire_lock(path) is None

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from jaxgen.training import DirectoryInUse, lock
from jaxgen.training.lock import hold

pytest.importorskip("fcntl")


def start(program, path):
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
    )
    return child, child.stdout.readline().strip()


def test_held_until_closed(tmp_path):
    path = tmp_path / ".lock"
    held = hold(path)
    with pytest.raises(DirectoryInUse, match=rf"^{tmp_path} is in use by process {os.getpid()} on .*, this very one"):
        hold(path)
    held.close()
    hold(path).close()


def test_held_until_dropped(tmp_path):
    hold(tmp_path / ".lock")
    hold(tmp_path / ".lock").close()


HOLDS = """
    import sys, time
    from pathlib import Path
    from jaxgen.training.lock import hold
    held = hold(Path(sys.argv[1]))
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_process_holds_nothing(tmp_path):
    path = tmp_path / ".lock"
    child, said = start(HOLDS, path)
    assert said == "held"
    with pytest.raises(DirectoryInUse, match=rf"in use by process {child.pid} on \S+: wait for it, or stop it first"):
        hold(path)
    child.kill()
    child.communicate()
    hold(path).close()


HOLDS_AND_FORKS = """
    import os, sys, time
    from pathlib import Path
    from jaxgen.training.lock import hold
    held = hold(Path(sys.argv[1]))
    worker = os.fork()
    if worker == 0:
        os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(600)
"""


def test_a_worker_that_outlives_its_parent_holds_nothing(tmp_path):
    path = tmp_path / ".lock"
    child, worker = start(HOLDS_AND_FORKS, path)
    try:
        with pytest.raises(DirectoryInUse):
            hold(path)
        child.kill()
        child.wait()
        time.sleep(0.05)
        hold(path).close()
    finally:
        os.kill(int(worker), signal.SIGKILL)
        child.stdout.close()


def test_without_locks_nothing_is_held(tmp_path, monkeypatch):
    path = tmp_path / ".lock"

    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    with monkeypatch.context() as patch:
        patch.setattr(lock.fcntl, "flock", no_locks)
        assert hold(path) is None
    monkeypatch.setattr(lock, "fcntl", None)
    assert hold(path) is None
    assert hold(path) is None

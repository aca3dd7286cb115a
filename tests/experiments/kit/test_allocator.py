"""Settings of the allocator: an exercise starts anew with them, once, and nothing else does."""

import os
import platform
import sys

import pytest

from experiments.kit.allocator import KEEP_MEMORY, VARIABLE, keep_memory


class Started(Exception):
    """A process begins in place of this one."""


@pytest.fixture
def start(monkeypatch):
    """Replaces this process by none."""

    def execve(path, arguments, environment):
        raise Started(path, arguments, environment)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(sys, "argv", ["-m", "--steps", "4"])
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-u", "-m", "experiments.sprites", "--steps", "4"])
    monkeypatch.delenv(VARIABLE, raising=False)


def test_an_exercise_starts_anew_with_its_own_arguments(start):
    with pytest.raises(Started) as started:
        keep_memory()
    path, arguments, environment = started.value.args
    assert (path, arguments) == (sys.executable, [sys.executable, "-u", "-m", "experiments.sprites", "--steps", "4"])
    assert environment == os.environ | {VARIABLE: KEEP_MEMORY}


@pytest.mark.parametrize("reason", ["variable", "library", "import"])
def test_nothing_else_does(start, monkeypatch, reason):
    if reason == "variable":  # as in the process that was started
        monkeypatch.setenv(VARIABLE, "")
    if reason == "library":
        monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    if reason == "import":
        monkeypatch.setattr(sys, "argv", ["notebook"])
    keep_memory()

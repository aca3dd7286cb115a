"""Run directories: named by time, never shared."""

from datetime import datetime, timedelta

import pytest

from jaxgen.report import run_directory, runs


def test_makes_a_directory_named_by_the_local_time(tmp_path):
    directory = run_directory(tmp_path / "runs", "sprites")
    assert directory.is_dir()
    assert directory.parent == tmp_path / "runs" / "sprites"
    made = datetime.strptime(directory.name, "%Y-%m-%d_%H-%M-%S")
    assert abs(datetime.now() - made) < timedelta(minutes=1)


def test_runs_of_one_second_do_not_share_a_directory(tmp_path, monkeypatch):
    class Stopped:
        now = staticmethod(lambda: datetime(2026, 1, 2, 3, 4, 5))

    monkeypatch.setattr(runs, "datetime", Stopped)
    directories = [run_directory(str(tmp_path), "sprites") for _ in range(3)]
    assert [directory.name for directory in directories] == [f"2026-01-02_03-04-05{end}" for end in ("", "_2", "_3")]
    assert all(directory.is_dir() for directory in directories)


def test_refuses_names_that_are_no_plain_directory(tmp_path):
    for name in ["", "..", "../up", "a/b", "-flag", "a b"]:
        with pytest.raises(ValueError, match="a run's name is"):
            run_directory(tmp_path, name)

"""A run's folder: its settings, its command and its seconds over several parts, its stages, and its report."""

import json
import os
import sys
from dataclasses import replace

import pytest
from some_exercise import SOME

from experiments.kit import index
from experiments.kit.config import RunConfig, TrainingConfig
from experiments.kit.run import BadInput, begin


def config_of(root, **options):
    return TrainingConfig(preset="smoke", runs=root, progress=False, **options)


def test_the_settings_in_force_are_written_at_each_start(tmp_path):
    first = begin(SOME, config_of(tmp_path), ["--steps", "10"])
    assert first.directory.parent == tmp_path / "some"
    again = begin(SOME, replace(first.config, resume=first.directory, steps=40), ["--resume", "x", "--steps", "40"])
    assert again.directory == first.directory
    saved = json.loads((again.directory / "config.json").read_text())
    assert saved["steps"] == 40
    assert "resume" not in saved


def test_the_command_of_a_resumed_run_begins_a_new_one_like_it(tmp_path):
    first = begin(SOME, config_of(tmp_path), ["--preset", "smoke"])
    assert first.command == "python -m experiments.some --preset smoke"
    resumed = replace(first.config, resume=first.directory)
    begin(SOME, resumed, ["--resume", str(first.directory), "--steps", "40"])
    third = begin(SOME, resumed, [f"--resume={first.directory}", "--no-progress"])
    assert third.command == "python -m experiments.some --preset smoke --steps 40 --no-progress"


def test_the_seconds_are_those_of_all_parts_however_they_ended(tmp_path):
    first = begin(SOME, config_of(tmp_path), [])
    log = first.directory / "metrics.jsonl"
    log.write_text("")
    os.utime(log, (first.began + 100, first.began + 100))  # when the first part, then killed, last wrote
    second = begin(SOME, replace(first.config, resume=first.directory), [])
    assert second.seconds == pytest.approx(100, abs=1)
    os.utime(log, (second.began + 10, second.began + 10))
    drawn = first.directory / "drawn" / "images.npz"  # by --from, a day later
    drawn.parent.mkdir()
    drawn.touch()
    os.utime(drawn, (second.began + 86_400, second.began + 86_400))
    third = begin(SOME, replace(first.config, resume=first.directory), [])
    assert third.seconds == pytest.approx(110, abs=1)


def test_a_stage_is_computed_once_and_names_itself_where_it_is_stopped(tmp_path):
    some = begin(SOME, config_of(tmp_path), [])

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"in the stage 'samples/a'; --resume .* continues"):
        some.stage("samples/a", stopped)
    assert some.stage("samples/a", lambda: 1) == some.stage("samples/a", lambda: 2) == 1


def test_the_report_joins_the_index_of_all_runs(tmp_path):
    for title in ("first", "second"):
        some = begin(replace(SOME, title=title), config_of(tmp_path), [])
        template = tmp_path / "report.md"
        template.write_text(
            "## What was found\n\n- It is {{ a | short }} at {{ config.steps }}, {{ verdict([1.0, 1.1], b) }}."
        )
        path = some.write_report(
            template, values={"a": 0.5, "b": [9.0, 9.1]}, metrics={"a": 0.5}, figures={}, tables={}
        )
        assert "It is 0.500 at 3000, better." in path.read_text()
        assert "Its numbers mean nothing." in path.read_text()  # of the preset smoke
        assert "python -m experiments.some" in path.read_text()
    page = (tmp_path / "index.html").read_text()
    assert page.index("second") < page.index("first")
    assert page.count("It is 0.500") == 2
    (path.parent / "summary.json").write_text("{")
    assert "second" not in index.write(tmp_path).read_text()


def test_batches_that_devices_cannot_share_are_refused_before_anything_is_made(tmp_path):
    begin(SOME, config_of(tmp_path, data_parallel=True), [])
    with pytest.raises(BadInput, match="--batch-size 12 cannot be split over 8 devices"):
        begin(SOME, config_of(tmp_path / "runs", data_parallel=True, batch_size=12), [])
    assert not (tmp_path / "runs").exists()


def test_fewer_steps_than_a_network_was_trained_for_are_refused_before_anything_is_forgotten(tmp_path):
    first = begin(SOME, config_of(tmp_path, steps=10), [])
    assert first.stage("a", lambda: 1) == 1
    fewer = config_of(tmp_path, steps=5, resume=first.directory)
    (first.directory / "params.safetensors").touch()
    with pytest.raises(BadInput, match=r"--steps 5 is below the 10 of .*: give 10 or more"):
        begin(SOME, fewer, [])
    assert first.stage("a", lambda: 2) == 1
    assert json.loads((first.directory / "config.json").read_text())["steps"] == 10


def test_flags_that_no_run_can_use_are_refused():
    for changes, message in [({"seed": -1}, "--seed lies in"), ({"seed": 2**32}, "--seed lies in")]:
        with pytest.raises(ValueError, match=message):
            RunConfig(**changes)


def test_what_was_measured_after_fewer_steps_is_measured_again(tmp_path):
    first = begin(SOME, config_of(tmp_path, steps=10), [])
    assert first.stage("a/quality", lambda: 1.0) == 1.0
    (first.folder("samples/ddim")).mkdir(parents=True)
    (first.folder("samples/ddim") / "seconds.json").touch()
    (first.folder("reader") / "checkpoints").mkdir(parents=True)
    same = begin(SOME, config_of(tmp_path, steps=10, resume=first.directory), [])
    assert same.stage("a/quality", lambda: 2.0) == 1.0
    more = begin(SOME, config_of(tmp_path, steps=20, resume=first.directory), [])
    assert more.stage("a/quality", lambda: 3.0) == 3.0
    assert not more.folder("samples/ddim").exists()
    assert (more.folder("reader") / "checkpoints").exists()


def test_a_run_begun_from_python_is_reproduced_by_its_call(tmp_path, monkeypatch):
    config = config_of(tmp_path, steps=10)
    monkeypatch.setattr(sys, "argv", ["notebook.py", "--their-own"])
    assert begin(SOME, config).command == f"experiments.some.__main__.main({config})"
    monkeypatch.setattr(sys, "argv", ["/there/experiments/some/__main__.py", "--steps", "10"])
    assert begin(SOME, config).command == "python -m experiments.some --steps 10"

"""Every exercise, stopped in its first and last training, in its stages and in the report, and resumed, ends alike."""

import contextlib
import importlib
import itertools
import json
import sys
import time
import types
from dataclasses import replace

import pytest

from experiments.kit import launch, training
from experiments.kit.exercise import all_exercises
from experiments.kit.run import Run

NAMES = [exercise.name for exercise in all_exercises()]


class Stopped(Exception):
    """Stands for a kill."""


class Stops:
    """Records where a run could be stopped, and stops it at one of these places."""

    def __init__(self, monkeypatch):
        self.places, self.at = [], None
        fit, interruptible = training.fit, Run.interruptible

        def recorded_fit(step, state, batches, *, steps, on_log, log, **options):
            own = (log.parent / "run.json").is_file()  # the run's own folder is named after the time
            place = "fit" if own else f"fit {log.parent.name}"

            def stop(at, row):
                if at == steps - 1 or steps == 1:  # between two checkpoints, where there are two
                    self.pass_by(place)
                if on_log is not None:
                    on_log(at, row)

            return fit(step, state, batches, steps=steps, on_log=stop, log=log, **options)

        @contextlib.contextmanager
        def recorded_stage(run, name):
            with interruptible(run, name):
                self.pass_by(f"stage {name}")
                yield

        monkeypatch.setattr(training, "fit", recorded_fit)
        monkeypatch.setattr(Run, "interruptible", recorded_stage)

    def pass_by(self, place):
        self.places.append(place)
        if place == self.at:
            raise Stopped(place)


def metrics(run):
    """The metrics of a run, without what the clock of another process and the machine's load make of them."""

    def steady(value):
        if isinstance(value, dict):
            return {name: steady(of) for name, of in value.items() if name not in ("load", "seconds_per_step")}
        return [steady(of) for of in value] if isinstance(value, list) else value

    return steady(json.loads((run / "metrics.json").read_text()))


@pytest.fixture
def steady_clock(monkeypatch):
    """Every duration that an exercise measures is one second."""
    ticks = itertools.count()
    clock = types.SimpleNamespace(perf_counter=lambda: float(next(ticks)), time=time.time)
    for name, module in list(sys.modules.items()):
        if name.startswith("experiments.") and getattr(module, "time", None) is time:
            monkeypatch.setattr(module, "time", clock)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_stopped_and_resumed_it_ends_the_same(name, tmp_path, monkeypatch, request):
    exercise = importlib.import_module(f"experiments.{name}.__main__")
    request.getfixturevalue("steady_clock")
    stops = Stops(monkeypatch)
    config = replace(exercise.PRESETS["smoke"], progress=False)
    whole = exercise.main(replace(config, runs=tmp_path / "whole")).parent

    places = list(dict.fromkeys(stops.places))
    assert places[-1] == "stage report"
    trainings = [place for place in places if place.startswith("fit")]
    chosen = dict.fromkeys([places[0], *trainings[-1:], places[len(places) // 2], "stage report"])
    flags = {"runs": tmp_path / "stopped"}
    for stops.at in sorted(chosen, key=places.index):
        with pytest.raises(Stopped):
            exercise.main(replace(config, **flags))
        (directory,) = (tmp_path / "stopped" / name).iterdir()
        flags["resume"] = directory
    stops.at = None
    monkeypatch.setattr(sys, "argv", [name, "--resume", str(directory)])
    launch.run(exercise.main, exercise.PRESETS)

    assert metrics(directory) == metrics(whole)
    figures = sorted(file.name for file in (whole / "figures").iterdir())
    assert figures == sorted(file.name for file in (directory / "figures").iterdir())
    for figure in figures:
        assert (directory / "figures" / figure).read_bytes() == (whole / "figures" / figure).read_bytes(), figure

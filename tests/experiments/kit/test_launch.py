"""Command lines: what they make of flags, and what ends an experiment in one line."""

import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
from some_exercise import SOME

from experiments.kit import launch
from experiments.kit.config import ImageConfig, TrainingConfig
from experiments.kit.exercise import all_exercises
from experiments.kit.run import BadInput, begin
from jaxgen.report import write_json

ROOT = Path(__file__).parents[3]
PRESETS = {"default": TrainingConfig(), "smoke": TrainingConfig(preset="smoke", steps=6)}


def launched(main, *flags, presets=PRESETS, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["some", *map(str, flags)])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    launch.run(main, presets)


def test_flags_override_the_preset_and_a_resumed_run_has_its_own(tmp_path):
    config = launch.parse(PRESETS, ["--preset", "smoke", "--ema", "0.5"])
    assert (config.steps, config.ema) == (6, 0.5)
    directory = begin(
        SOME, launch.parse(PRESETS, ["--preset", "smoke", "--ema", "0.5", "--runs", str(tmp_path)])
    ).directory
    resumed = launch.parse(PRESETS, ["--resume", str(directory), "--steps", "40"])
    assert (resumed.steps, resumed.ema, resumed.resume) == (40, 0.5, directory)
    # what was changed is in force for the next start too
    begin(SOME, resumed, [])
    assert launch.parse(PRESETS, ["--resume", str(directory)]).steps == 40


@pytest.mark.parametrize("flags", [["--seed", "1"], ["--batch-size", "8"], ["--learning-rate", "0.1"]])
def test_a_resumed_run_keeps_what_its_results_depend_on(flags, tmp_path):
    directory = begin(SOME, launch.parse(PRESETS, ["--runs", str(tmp_path)]), []).directory
    with pytest.raises(BadInput, match=f"--resume continues with {flags[0]} .*, as the run began"):
        launch.parse(PRESETS, ["--resume", str(directory), *flags])


def test_a_folder_that_holds_no_run_of_this_kind_is_refused(tmp_path, monkeypatch):
    for flag in ("--resume", "--from"):
        with pytest.raises(SystemExit, match=r"BadInput: .*nowhere holds no run: there is no"):
            launched(print, flag, tmp_path / "nowhere", monkeypatch=monkeypatch)
    with pytest.raises(SystemExit, match="BadInput: --resume continues a run, --from draws from one"):
        launched(print, "--resume", tmp_path, "--from", tmp_path, monkeypatch=monkeypatch)
    (tmp_path / "config.json").write_text(json.dumps({"seed": -1}))
    with pytest.raises(SystemExit, match=r"config\.json holds a value that is refused: --seed lies in"):
        launched(print, "--resume", tmp_path, monkeypatch=monkeypatch)
    (tmp_path / "config.json").write_text(json.dumps({"steps": 3, "wings": 2}))
    with pytest.raises(SystemExit, match=r"run of another experiment.*\['wings'\]"):
        launched(print, "--resume", tmp_path, monkeypatch=monkeypatch)


@dataclass(frozen=True)
class Listing(ImageConfig):
    """Flags of an experiment on images."""

    numbers: tuple[int, ...] = (1, 2)
    optional: tuple[int, ...] = ()
    levels: tuple[float, ...] = (0.5,)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--numbers"], "--numbers needs at least one value"),
        (["--levels", "0.1", "0.10000001"], "--levels must differ within six digits"),
        (["--seed", "99999999999999999999"], "--seed lies in"),
        (["--images", "10000000000"], "--images must be at most"),
        (["--data", ""], "--data is empty"),
        (["--resize"], "--resize without --data"),
        (["--size", "32"], "--size 32 without --data: sprites are rendered with --size 16"),
        (["--subset", "train"], "--subset without --data"),
        (["--value-range", "0", "255"], "--value-range without --data"),
        (["--stpes", "3"], "--stpes"),
    ],
)
def test_flags_are_refused_before_anything_begins(flags, message, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        launched(pytest.fail, *flags, presets={"default": Listing()}, monkeypatch=monkeypatch)
    printed = "".join(capsys.readouterr())
    assert message in " ".join(printed.replace("│", " ").split())
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("error", "printed"),
    [
        (OSError(28, "No space left on device", "some.json"), "OSError: .*No space left on device: 'some.json'"),
        (BadInput("too few images"), "^BadInput: too few images$"),
        (KeyboardInterrupt(), "^Interrupted: --resume and the run's folder continue"),
        (KeyboardInterrupt("in the stage 'a'; --resume x continues"), "^Interrupted in the stage 'a'; --resume x"),
    ],
)
def test_what_the_user_can_mend_ends_in_one_line(error, printed, monkeypatch):
    def main(config):
        raise error

    with pytest.raises(SystemExit, match=printed):
        launched(main, monkeypatch=monkeypatch)


def test_a_full_disk_is_named_by_its_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SystemExit, match=r"No space left on device: '.*metrics\.json'"):
        launched(lambda config: write_json(tmp_path / "metrics.json", {}), monkeypatch=monkeypatch)


def test_a_warning_is_one_line(monkeypatch, capsys):
    def main(config):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = launch._show_warning
            warnings.warn("few samples", UserWarning, stacklevel=1)

    launched(main, monkeypatch=monkeypatch)
    assert capsys.readouterr().err == "UserWarning: few samples\n"


def test_the_librarys_words_become_flags():
    with pytest.raises(BadInput, match="expected 16×16: add --size 20, or --resize --size 16"), launch.reading_data():
        raise ValueError("x holds 20×20 images; expected 16×16: pass resize=16.")
    with pytest.raises(BadInput, match="or add --value-range LOW HIGH"), launch.reading_data():
        raise ValueError("Cast values in [0, 255] to uint8, or pass value_range=(low, high).")


@pytest.mark.slow
def test_a_platform_without_devices_ends_in_one_line():
    every = ", ".join(f"experiments.{exercise.name}.__main__" for exercise in all_exercises())
    program = f"import {every}; from experiments.kit import config, launch; "
    program += "launch.run(print, {'default': config.RunConfig()})"
    env = {**os.environ, "JAX_PLATFORMS": "cuda", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith(("WARNING", "W1", "E1", "INFO"))]
    assert line.startswith("BadInput: JAX found no device of the platform 'cuda' that JAX_PLATFORMS names")
    assert line.endswith("JAX_PLATFORMS=cpu")

"""What ends an experiment: one line for what the user can mend."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import features, images, launch
from experiments.config import ImageConfig
from jaxgen.data import render_sprites
from jaxgen.report import write_json


def test_a_platform_without_devices_ends_in_one_line():
    every = [path.stem for path in Path(launch.__file__).parent.glob("*.py") if "launch.run(main" in path.read_text()]
    program = f"from experiments import config, launch, {', '.join(every)}; "
    program += "launch.run(print, {'default': config.RunConfig()})"
    env = {**os.environ, "JAX_PLATFORMS": "cuda", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith(("WARNING", "W1", "E1", "INFO"))]
    assert line.startswith("BadInput: JAX found no device of the platform 'cuda' that JAX_PLATFORMS names")
    assert line.endswith("JAX_PLATFORMS=cpu")


def test_a_full_disk_is_named_by_its_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    monkeypatch.setattr(sys, "argv", ["some"])
    with pytest.raises(SystemExit, match=r"No space left on device: '.*metrics\.json'"):
        launch.run(lambda config: write_json(tmp_path / "metrics.json", {}), {"default": launch.TrainingConfig()})


def test_labels_of_one_class_judge_nothing(capsys):
    sprites = render_sprites(60, 0)
    alike = replace(sprites, labels=np.zeros(60, np.int64))
    train, held_out = images.split(alike, ImageConfig(batch_size=8))
    assert train.labels is held_out.labels is None
    assert "every image has the same label" in capsys.readouterr().out
    with pytest.raises(ValueError, match="labels of two classes"):
        images.split(replace(alike, images=sprites.images[..., :1]), ImageConfig(batch_size=8))
    with pytest.raises(ValueError, match="all of one class"):
        features.train_judge(alike, alike, steps=1, seed=0)

"""The sprites experiment from its command line: a whole small run, samples drawn from it, and what it refuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from shown import metrics_of

from experiments.kit import config, launch
from experiments.kit.run import BadInput
from experiments.sprites import __main__ as sprites
from experiments.sprites import measure
from experiments.sprites.train import load_model
from jaxgen.data import render_sprites
from jaxgen.diffusion import from_betas, linear_betas, subset_grid
from jaxgen.nets import UNet
from jaxgen.samplers import ddim, sample
from jaxgen.training import History

README = Path(__file__).parents[2] / "README.md"

pytestmark = pytest.mark.filterwarnings("ignore:Fréchet distance of 64-dimensional")


def run(monkeypatch, *flags):
    monkeypatch.setattr(sys, "argv", ["sprites", "--preset", "smoke", "--no-progress", *map(str, flags)])
    launch.run(sprites.main, sprites.PRESETS)


@pytest.mark.slow
def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("without the added noise z", "Fréchet distance", "DDIM-4", "held-out real images", "rendered"),
        "data.png schedule.png forward.png loss.png ddpm.png ddim.png ddpm-without-z.png trajectory.gif classes.png "
        "nearest.png quality-and-time.png",
    )
    rows = {row["method"]: row for row in metrics["methods"]}
    assert set(rows) == {"DDPM-8", "DDIM-4", "DDIM-4 from noised images", "held-out real images"}
    assert rows["DDPM-8"]["network calls"] == 8
    assert all(np.isfinite(row["Fréchet distance"]) for row in rows.values())
    assert json.loads((finished / "config.json").read_text())["preset"] == "smoke"


@pytest.mark.slow
def test_a_finished_run_is_drawn_from_again(finished, tmp_path, monkeypatch, capsys):
    run(monkeypatch, "--from", finished, "--samples", "7")
    file = finished / "drawn" / "7-seed-0" / "images.npz"
    assert str(file) in capsys.readouterr().out
    saved = np.load(file)
    assert saved["images"].shape == (7, 16, 16, 3)
    np.testing.assert_array_equal(saved["labels"], [0, 1, 2, 3, 4, 0, 1])
    model = load_model(finished)
    keys = jax.random.split(jax.random.key(0), 2)
    denoise, times = model.denoise(model.params, np.arange(2)), subset_grid(model.process.steps, 3)
    assert sample(keys, model.process, denoise, ddim(), times, model.shape).shape == (2, 16, 16, 3)
    with pytest.raises(BadInput, match="holds no run"):
        load_model(tmp_path)


def test_the_forward_process_shows_the_chain_as_it_is():
    process = from_betas(linear_betas(20))
    images = np.full((5, 2, 2, 3), 0.5, np.float32)
    forward = measure.forward_process(process, images)
    np.testing.assert_allclose(forward.beta, linear_betas(20), rtol=1e-4)
    np.testing.assert_allclose(forward.alpha**2, np.cumprod(1 - linear_betas(20)), rtol=1e-5)
    np.testing.assert_allclose(forward.alpha**2 + forward.sigma**2, 1, rtol=1e-6)
    assert (forward.steps[0], forward.steps[-1]) == (0, 20)
    np.testing.assert_array_equal(forward.path[0], images)


def test_variety_is_across_images_and_detail_within_them():
    stripes = np.zeros((4, 2, 4, 1), np.float32)
    stripes[:, :, 1::2] = 1
    assert measure.spread(stripes) == (0, 1)
    flat = np.arange(4, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 4, 1), np.float32)
    assert measure.spread(flat) == pytest.approx((np.std(np.arange(4)), 0))


COMMANDS = re.findall(r"^.*python -m experiments.*--(?:data-parallel|fully-sharded)$", README.read_text(), re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "on"), list(zip(COMMANDS, ("8 devices", "2 processes"), strict=True)))
def test_the_commands_of_the_readme_train_as_one_device_does(finished, tmp_path, command, on):
    flags = f"--preset smoke --steps-per-call 1 --no-progress --runs {tmp_path}"
    command = command.replace("python", sys.executable, 1) + " " + flags
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(README.parent)}
    done = subprocess.run(command, shell=True, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("report: ") == 1
    (directory,) = (tmp_path / "sprites").iterdir()
    ours, theirs = (History.read(at / "metrics.jsonl") for at in (directory, finished))
    assert ours.names == theirs.names
    for name in ours.names:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3)
    assert (directory / "report.html").is_file()


@pytest.mark.slow
def test_an_error_in_one_process_ends_all(tmp_path):
    (tmp_path / "runs").write_text("not a folder, which only the first process is to find out")
    command = [sys.executable, "-m", "experiments.processes", "2", "experiments.sprites", "--preset", "smoke"]
    done = subprocess.run(
        [*command, "--data-parallel", "--no-progress", "--runs", tmp_path / "runs"],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(README.parent)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "FileExistsError: " in done.stderr or "NotADirectoryError: " in done.stderr


@pytest.mark.slow
def test_in_bfloat16_with_blocks_computed_anew(tmp_path, monkeypatch):
    nets = []
    monkeypatch.setattr(config, "UNet", lambda *args, **how: nets.append(UNet(*args, **how)) or nets[-1])
    run(monkeypatch, "--dtype", "bfloat16", "--remat", "--runs", tmp_path)
    assert [(net.dtype, net.remat) for net in nets] == [("bfloat16", True)]
    (report,) = tmp_path.glob("sprites/*/report.html")
    losses = History.read(report.with_name("metrics.jsonl"))["loss"][1]
    assert np.isfinite(losses).all()


@pytest.mark.slow
def test_unlabelled_images_run_too(tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", render_sprites(300, 1).images[..., :1])  # grey, as scans are
    run(monkeypatch, "--data", tmp_path / "images.npy", "--runs", tmp_path, "--network", "context")
    (report,) = tmp_path.glob("sprites/*/report.html")
    assert "the rendered sprites" in report.read_text()
    assert not (report.parent / "figures" / "classes.png").exists()


IMAGES = render_sprites(60, 0).images


def bad_data(kind, folder):
    file = folder / "bad.npz"
    match kind:
        case "size":
            np.savez(file, images=np.zeros((9, 20, 20, 3), np.uint8))
        case "dtype":
            np.savez(file, images=IMAGES.astype(np.int64))
        case "range":
            np.savez(file, images=IMAGES.astype(np.float32))
        case "few":
            np.savez(file, images=IMAGES[:6])
        case "labels":
            np.savez(file, images=IMAGES, labels=np.zeros(7, np.int64))
        case "empty":
            file = folder / "empty"
            file.mkdir()
        case "mixed sizes":
            file = folder / "mixed"
            file.mkdir()
            for i in (16, 17):
                Image.new("RGB", (i, i)).save(file / f"{i}.png")
        case "missing":
            file = folder / "nothing.npz"
        case "extension":
            file = folder / "images.mat"
            file.touch()
    return file


@pytest.mark.parametrize(
    ("kind", "message"),
    {
        "size": r"holds 20×20 images; expected 16×16: add --size 20, or --resize --size 16",
        "dtype": r"images have dtype int64; expected uint8",
        "range": r"float32 images span \[\d+, 255\]; expected",
        "few": r"--batch-size 8 exceeds the . training images",
        "labels": r"labels have shape \(7,\); expected \(60,\)",
        "empty": r"no images",
        "mixed sizes": r"1[67]×1[67]",
        "missing": r"does not exist",
        "extension": r"unknown extension",
    }.items(),
)
def test_bad_data_is_refused_before_anything_is_made(kind, message, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, "--data", bad_data(kind, tmp_path), "--runs", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data-parallel", "--batch-size", "12"], "--batch-size 12 cannot be split over 8 devices"),
        (["--fully-sharded", "--batch-size", "4"], "--batch-size 4 cannot be split over 8 devices"),
        (["--distributed"], "--distributed says who trains together: add --data-parallel or --fully-sharded"),
        (["--remat", "--network", "context"], "--remat is for --network unet or dit"),
        (["--distributed", "--data-parallel"], "--distributed found no other processes"),
        (["--steps-per-call", "0"], "--steps-per-call must be at least 1"),
        (["--ddim-steps", "30"], "--ddim-steps [30]: a chain of T=8"),
        (["--samples", "40"], "--samples must be at least 50"),
        (["--ddim-steps"], "--ddim-steps needs at least one value"),
        (["--steps", "0"], "--steps must be at least 1"),
        (["--drop-label", "1.5"], "share in"),
        (["--beta-end", "2"], "start <= end < 1"),
        (["--resume", "nowhere"], "there is no nowhere/config.json"),
        (["--from", "nowhere"], "there is no nowhere/config.json"),
        (["--network", "resnet"], "resnet"),
        (["--preset", "huge"], "huge"),
        (["--stpes", "10"], "--stpes"),
    ],
)
def test_bad_flags_are_refused(flags, message, monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *flags, "--runs", tmp_path / "runs")
    # the command line's own refusals are boxed and wrapped
    printed = " ".join(re.sub(r"[│╭╮╰╯─]", " ", "".join(capsys.readouterr()) + str(stop.value)).split())
    assert message in printed
    assert not (tmp_path / "runs").exists()

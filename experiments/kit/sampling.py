"""Samples in batches that are kept in the run's folder, and timed."""

import io
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from experiments.kit.devices import cores_sharding
from experiments.kit.run import SECONDS, Run
from jaxgen import generation
from jaxgen.core import write_atomically
from jaxgen.data import to_uint8
from jaxgen.diffusion import Denoiser, GaussianProcess, denoiser, subset_grid
from jaxgen.report import encode_figure, image_grid, write_json
from jaxgen.samplers import Sampler, sample


class Model(NamedTuple):
    """A trained network and what it takes to sample it.

    Attributes:
        process: the Gaussian process it was trained with.
        net: the network.
        params: its parameters.
        shape: shape of an image.
    """

    process: GaussianProcess
    net: nn.Module
    params: Any
    shape: tuple[int, ...]

    def denoise(self, params: Any, cond: Any = None) -> Denoiser:
        """The denoiser with these parameters; x̂0 is clipped to the images' range, as DDPM does."""
        return denoiser(self.process, partial(self.net.apply, params), cond=cond, clip=1.0)


class Method(NamedTuple):
    """A sampler and its number of steps, which visit a subset of the chain's."""

    sampler: Sampler
    steps: int

    def function(self, model: Model, *, trajectory: bool = False) -> Callable[[Any, jax.Array, Any], jax.Array]:
        """The function (params, keys, (labels, start)) -> images that `generate` takes; start None is the prior."""
        times = subset_grid(model.process.steps, self.steps)

        def draw(params: Any, keys: jax.Array, cond: tuple[Any, Any]) -> jax.Array:
            labels, start = cond
            denoise = model.denoise(params, labels)
            return sample(
                keys, model.process, denoise, self.sampler, times, model.shape, start=start, trajectory=trajectory
            )

        return draw


class Timed(NamedTuple):
    """Samples (n, h, w, c), the seconds of a batch (median), and those of the first, which include compilation."""

    images: np.ndarray
    seconds: float
    first_seconds: float


def draw(
    run: Run,
    name: str,
    sampler: Callable[[Any, jax.Array, Any], jax.Array],
    params: Any,
    n: int,
    *,
    key: jax.Array,
    cond: Any = None,
    batch_size: int = 50,
) -> Timed:
    """Draw n samples in timed batches, kept in the run's folder: what is there already is not drawn again.

    Args:
        run: the run.
        name: the stage's name.
        sampler: (params, keys (b,), cond) -> images (b, h, w, c), as `generation.generate` takes it.
        params: its parameters.
        n: number of samples; sample i has the key `fold_in(key, i)`.
        key: one key.
        cond: arrays with leading axis n, or None.
        batch_size: samples drawn together.
    """
    folder = run.folder(name)
    file = folder / SECONDS
    seconds = json.loads(file.read_text()) if file.is_file() else {"first": [], "others": []}
    since, count = time.perf_counter(), 0

    def on_batch(_: int) -> None:
        nonlocal since, count
        now = time.perf_counter()
        seconds["others" if count else "first"].append(now - since)
        since, count = now, count + 1
        if jax.process_index() == 0:
            write_json(file, seconds)

    with run.interruptible(name):
        images = generation.generate(
            sampler, params, key, n, batch_size=batch_size, cond=cond, directory=folder, on_batch=on_batch,
            progress=run.config.progress, sharding=cores_sharding(run.config, batch_size),
        )  # fmt: skip
    if not (seconds["first"] or seconds["others"]):  # others drew all batches, about as long as this one waited
        on_batch(0)
    first, others = seconds["first"], seconds["others"]
    return Timed(images, float(np.median(others or first)), float(first[0]) if first else float("nan"))


def save_images(folder: Path, images: np.ndarray, labels: np.ndarray | None) -> Path:
    """Write images.npz (uint8 images and their labels) and images.png, a sheet of the first hundred.

    Args:
        folder: created if needed.
        images: (n, h, w, c) in [−1, 1].
        labels: (n,), or None.

    Returns:
        The path of images.npz.
    """
    arrays = {"images": to_uint8(images)} | ({} if labels is None else {"labels": labels})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    sheet = image_grid(images[:100], min(10, len(images)))
    write_atomically(folder / "images.png", lambda file: file.write(encode_figure(sheet).content))
    write_atomically(folder / "images.npz", lambda file: file.write(buffer.getvalue()))
    print(f"{len(images)} images: {folder / 'images.npz'} and {folder / 'images.png'}")
    return folder / "images.npz"

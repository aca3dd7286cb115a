"""Images by every way to draw them: their quality, the calls and the seconds that they take."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.kit.levels import rounded
from experiments.kit.run import SECONDS, Run
from experiments.kit.sampling import draw
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data
from experiments.trilemma.family import Family, Way
from experiments.trilemma.quality import Comparison, Quality
from experiments.trilemma.train import Trained
from jaxgen.metrics import MeanAndError, mean_and_error

SHOWN, BATCH = 16, 50
REAL, NOISE = "held-out images", "independent pixels"  # controls


class Sampled(NamedTuple):
    """Sets of images.

    Attributes:
        sets: quality of each set.
        calls: network calls for an image; None for the controls.
        seconds: of a batch of 50 images, with its error over batches; None for the controls.
        published: name in the literature's table, or None.
        shown: the first images (16, h, w, c).
    """

    sets: list[Quality]
    calls: int | None
    seconds: MeanAndError | None
    published: str | None
    shown: np.ndarray

    def of(self, field: str) -> np.ndarray:
        """A field of `Quality` for each set, (sets,)."""
        return np.array([getattr(found, field) for found in self.sets])

    def mean(self, field: str) -> MeanAndError:
        """Its mean and standard error over the sets."""
        return mean_and_error(self.of(field))


def measure_images(
    run: Run[Config], data: Data, families: dict[str, Family], trained: dict[str, Trained], compare: Comparison
) -> dict[str, Sampled]:
    """Sets of images by every way; two controls come last, images of independent pixels and held-out images."""
    found = {}
    for name, family in families.items():
        for title, way in family.ways.items():
            found[title] = run.stage(f"quality/{title}", _measured(run, title, way, trained[name].params, compare))
    noise = independent_pixels(data.train.images, run.config.samples * run.config.sets, run.config.seed)
    for name, images in ((NOISE, noise), (REAL, data.held_out.images)):
        qualities = run.stage(f"quality/{name}", lambda images=images: _qualities(run.config, images, compare))
        found[name] = Sampled(qualities, None, None, None, images[:SHOWN])
    return found


def independent_pixels(images: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Images (n, h, w, c) each of whose pixels is that of another image (m, h, w, c), drawn at random.

    They have the right colours in the right places, and nothing else.
    """
    rows, columns = np.indices(images.shape[1:3])
    chosen = np.random.default_rng(seed).integers(0, len(images), (n, *images.shape[1:3]))
    return images[chosen, rows, columns]


@lru_cache
def sampler(way: Way) -> Callable[[Any, jax.Array, None], jax.Array]:
    """The function that `generate` takes; one for each way, so that it is compiled once."""

    def images_of(params: Any, keys: jax.Array, _: None) -> jax.Array:
        return way.draw(params, keys)

    return images_of


def _measured(run: Run[Config], title: str, way: Way, params: Any, compare: Comparison) -> Callable[[], Sampled]:
    def compute() -> Sampled:
        config = run.config
        drawn = draw(
            run, f"samples/{title}", sampler(way), params, config.samples * config.sets,
            key=jax.random.key(config.seed + 3), batch_size=BATCH,
        )  # fmt: skip
        seconds = json.loads((run.folder(f"samples/{title}") / SECONDS).read_text())
        batches = seconds["others"] if len(seconds["others"]) > 1 else [drawn.seconds, drawn.seconds]
        shown = rounded(drawn.images[:SHOWN], run.config.levels)
        return Sampled(
            _qualities(config, drawn.images, compare), way.calls, mean_and_error(batches), way.published, shown
        )

    return compute


def _qualities(config: Config, images: np.ndarray, compare: Comparison) -> list[Quality]:
    n = config.samples
    return [compare(images[i * n : (i + 1) * n], i) for i in range(config.sets)]

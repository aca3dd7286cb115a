"""Whether two trainings from different seeds give an image the same code."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.kit.run import Run
from experiments.trilemma.config import Config
from experiments.trilemma.data import Data
from experiments.trilemma.family import Family
from experiments.trilemma.train import Trained
from jaxgen.metrics import MeanAndError, mean_and_error


class Codes(NamedTuple):
    """Correlations of the codes by both networks.

    Attributes:
        dims: numbers in a code.
        same_image: (n,), of an image's codes.
        other_image: (n,), of the codes of different images.
    """

    dims: int
    same_image: np.ndarray
    other_image: np.ndarray

    @property
    def same(self) -> MeanAndError:
        """Mean correlation of an image's codes, and its standard error."""
        return mean_and_error(self.same_image)

    @property
    def other(self) -> MeanAndError:
        """That of the codes of different images."""
        return mean_and_error(self.other_image)


def measure_codes(
    run: Run[Config], data: Data, families: dict[str, Family], trained: dict[str, Trained]
) -> dict[str, Codes]:
    """The codes of the families that have a twin."""
    images, found = data.held_out_integers[: run.config.code_images], {}
    for name, family in families.items():
        if family.encode is not None and trained[name].twin is not None:
            encoded = _encoded(jax.jit(family.encode), [trained[name].params, trained[name].twin], images)
            found[name] = compare_codes(*run.stage(f"codes/{name}", encoded))
    return found


def _encoded(encode: Callable, params: list[Any], images: np.ndarray) -> Callable[[], list[np.ndarray]]:
    return lambda: [np.asarray(encode(each, images)) for each in params]


def compare_codes(first: np.ndarray, second: np.ndarray) -> Codes:
    """Correlations of codes (n, d) by two networks, each less the mean code of its own network.

    What all images have in common, such as a white ground, would otherwise correlate the codes of any two images.
    """
    first, second = (codes - codes.mean(0) for codes in (first, second))
    return Codes(first.shape[1], _correlations(first, second), _correlations(first, np.roll(second, 1, axis=0)))


def _correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])

"""What is observed of an image: inverse problems y = A x."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxgen.diffusion import inverse


class Task(NamedTuple):
    """An inverse problem: its title, A, and the picture that shows y as an image."""

    title: str
    operator: inverse.Operator
    show: Callable[[np.ndarray], np.ndarray]


def tasks(shape: tuple[int, ...], names: Sequence[str]) -> dict[str, Task]:
    """The tasks of these names for images (h, w, c); colours only where c = 3."""
    height, width, channels = shape
    half, frame = np.zeros((height, width, 1)), np.ones((height, width, 1))
    half[:, : width // 2] = 1
    frame[height // 4 : -(height // 4), width // 4 : -(width // 4)] = 0
    known = {
        "right-half": Task("right half", inverse.mask(half), lambda y: np.where(half, y, 0)),
        "middle": Task("middle", inverse.mask(frame), lambda y: np.where(frame, y, 0)),
        "4x-pixels": Task("4 × pixels", inverse.average_pool(4), lambda y: y.repeat(4, 1).repeat(4, 2)),
        "colours": Task("colours", inverse.grayscale(), lambda y: y.repeat(3, -1)),
    }
    return {name: task for name, task in known.items() if name in names and (name != "colours" or channels == 3)}

"""The lattice of dSprites: its six factors, and the index of each of its images."""

import numpy as np
from jaxtyping import Int, Int32

SHAPES = ("square", "ellipse", "heart")


def _frozen(values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    values.flags.writeable = False
    return values


# In the order of the columns. The first and last orientations are equal up to rounding.
DSPRITES_FACTORS = {
    "colour": _frozen([1]),
    "shape": _frozen([1, 2, 3]),
    "scale": _frozen(np.linspace(0.5, 1.0, 6)),
    "orientation": _frozen(np.linspace(0.0, 2 * np.pi, 40)),
    "x": _frozen(np.linspace(0.0, 1.0, 32)),
    "y": _frozen(np.linspace(0.0, 1.0, 32)),
}
SIZES = tuple(map(len, DSPRITES_FACTORS.values()))
COUNT = int(np.prod(SIZES))  # 737,280


def unravel(index):
    """Return the class of each factor for a NumPy or JAX `index`, which is not checked."""
    classes = []
    for size in reversed(SIZES):
        classes.append(index % size)
        index = index // size
    return tuple(reversed(classes))


def check_index(index: np.ndarray) -> None:
    """Raise a ValueError for an index outside [0, 737280)."""
    if index.size and not 0 <= index.min() <= index.max() < COUNT:
        raise ValueError(f"index spans [{index.min()}, {index.max()}]; dSprites has the images 0 to {COUNT - 1}.")


def dsprites_factors(index: Int[np.ndarray, " n"]) -> Int32[np.ndarray, "n 6"]:
    """Return the classes (n, 6) of colour, shape, scale, orientation, x and y of images, each from 0.

    The index counts the images in the order of the published file, y fastest.

    Args:
        index: integers (n,) in [0, 737280).

    Returns:
        Classes (n, 6), int32.

    Raises:
        ValueError: if an index lies outside [0, 737280).
    """
    check_index(index)
    return np.stack(unravel(index), axis=-1).astype(np.int32)


def dsprites_index(factors: Int[np.ndarray, "n 6"]) -> Int32[np.ndarray, " n"]:
    """Return the indices (n,) of the images of given classes: the inverse of `dsprites_factors`.

    Args:
        factors: the classes (n, 6) of colour, shape, scale, orientation, x and y, each from 0.

    Returns:
        Indices (n,) in [0, 737280), int32.

    Raises:
        ValueError: if there are not six columns, or classes are negative or not below 1, 3, 6, 40, 32 and 32.
    """
    if factors.ndim != 2 or factors.shape[1] != len(SIZES):
        raise ValueError(f"factors have shape {factors.shape}; expected (n, 6): {', '.join(DSPRITES_FACTORS)}.")
    for name, size, classes in zip(DSPRITES_FACTORS, SIZES, factors.T, strict=True):
        if classes.size and not 0 <= classes.min() <= classes.max() < size:
            raise ValueError(f"{name} spans [{classes.min()}, {classes.max()}]; its classes are 0 to {size - 1}.")
    return np.ravel_multi_index(tuple(factors.astype(np.int64).T), SIZES).astype(np.int32)

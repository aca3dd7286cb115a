"""Images of few levels: values in [−1, 1] rounded to integers, and back."""

import numpy as np


def as_integers(values: np.ndarray, levels: int) -> np.ndarray:
    """The levels of values in [−1, 1]; others are clipped."""
    return np.clip(np.floor((values + 1) / 2 * levels), 0, levels - 1).astype(np.uint8)


def as_images(integers: np.ndarray, levels: int) -> np.ndarray:
    """Values in [−1, 1] of levels, whose lowest is −1 and whose highest is 1."""
    return (2 * np.asarray(integers, np.float32) / (levels - 1) - 1).astype(np.float32)


def rounded(values: np.ndarray, levels: int) -> np.ndarray:
    """Values of equidistant levels."""
    return as_images(as_integers(values, levels), levels)

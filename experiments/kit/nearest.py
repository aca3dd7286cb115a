"""The nearest image in pixels, by which copies of training images are found."""

import numpy as np


def nearest_images(images: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image the index of the nearest of the others, and the root-mean-square difference.

    Args:
        images: (n, h, w, c).
        others: (m, h, w, c).

    Returns:
        Indices (n,), and differences (n,).
    """
    a, b = (np.asarray(x, np.float32).reshape(len(x), -1) for x in (images, others))
    squares = (a**2).sum(-1)[:, None] + (b**2).sum(-1) - 2 * a @ b.T
    index = squares.argmin(-1)
    # not from the expanded square, which cancels where images are alike
    return index, np.sqrt(np.mean((a - b[index]) ** 2, axis=-1))

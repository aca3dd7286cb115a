"""Interpolation of latents along great circles."""

import numpy as np


def great_circle(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """The points (n, *event) at `share` of the way from a to b, of a length between theirs.

    Each is as likely under N(0, I) as its ends are; a straight line would pass near 0, where latents are rare.

    Reference:
        Shoemake 1985, "Animating rotation with quaternion curves"; White 2016, "Sampling generative networks", §2.1.
    """
    axes = tuple(range(1, a.ndim))
    norms = [np.sqrt(np.sum(x**2, axis=axes, keepdims=True)) for x in (a, b)]
    angle = np.arccos(np.clip(np.sum(a * b, axis=axes, keepdims=True) / (norms[0] * norms[1]), -1, 1))
    unit = (np.sin((1 - share) * angle) * a / norms[0] + np.sin(share * angle) * b / norms[1]) / np.sin(angle)
    return unit * ((1 - share) * norms[0] + share * norms[1])

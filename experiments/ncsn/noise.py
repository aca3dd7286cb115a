"""How much noise is left in images."""

import numpy as np
from scipy import stats

OUTSIDE, SHARE = 1.5, 0.1  # an image is noise if more than this share of its values lies so far from 0


def remaining_noise(images: np.ndarray) -> float:
    """Standard deviation of the noise on images in [−1, 1] that have black and white, from values outside [−1, 1].

    The excess of a Gaussian's outer half has its median at Φ⁻¹(3/4) standard deviations, whatever share of the values
    is black or white. A median, so that a few images of noise do not count.

    Args:
        images: (..., h, w, c).

    Returns:
        The standard deviation; 0 if no value is outside.
    """
    excess = np.abs(images) - 1
    excess = excess[excess > 0]
    return float(np.median(excess) / stats.norm.ppf(0.75)) if excess.size else 0.0


def noise_images(images: np.ndarray) -> float:
    """The share of images (..., h, w, c) of which more than a tenth of the values lie outside [−1.5, 1.5]."""
    return float(np.mean(np.mean(np.abs(images) > OUTSIDE, axis=(-3, -2, -1)) > SHARE))

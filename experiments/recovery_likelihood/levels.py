"""The levels of noise of all chains."""

import numpy as np

from jaxgen import diffusion, ebm

LAST = 0.7  # time at which chains of the plane begin: ᾱ is .007, and more noise would only scale y down
MOST_NOISE = 10.0  # over the signal, of images: what remains of them is lost in it


def process() -> diffusion.GaussianProcess:
    """The process of the plane, in continuous time: the variance preserving SDE."""
    return diffusion.vp()


def plane_times(levels: int) -> np.ndarray:
    """The descending times (T + 1,) of the chains in the plane, of which the last steps cross the least noise."""
    return LAST * (np.arange(levels, -1, -1) / levels) ** 1.5


def plane_levels(levels: int) -> np.ndarray:
    """The ᾱ (T + 1,) at these times, from 1 down."""
    return np.asarray(process().alpha(plane_times(levels)[::-1]), np.float64) ** 2


def image_levels(levels: int, noise: float) -> np.ndarray:
    """The ᾱ (T + 1,) from 1 down at which noise over signal grows in equal ratios, from the data's own noise to 10."""
    ratio = np.geomspace(noise, MOST_NOISE, levels + 1)
    return 1 / (1 + ratio**2 - noise**2)


def ladder_of(cumulated: np.ndarray, share: float, detail: float) -> ebm.RecoveryLadder:
    """The ladder of some levels.

    Args:
        cumulated: ᾱ (T + 1,), from 1 down.
        share: step size of Langevin dynamics over the least variance of the reverse kernel.
        detail: standard deviation of the finest details of the data.
    """
    betas = 1 - cumulated[1:] / cumulated[:-1]
    least = (1 - betas) * (cumulated[:-1] * detail**2 + 1 - cumulated[:-1])  # of y
    return ebm.recovery_ladder(diffusion.from_betas(betas), share * least * betas / (least + betas))

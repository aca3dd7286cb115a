"""The levels of noise of all chains: times of the variance preserving SDE."""

import numpy as np

from jaxgen import diffusion, ebm


def process() -> diffusion.GaussianProcess:
    """The process, in continuous time."""
    return diffusion.vp()


def plane_times(levels: int) -> np.ndarray:
    """The descending times (T + 1,) of the chains in the plane, (k/T)²: the last steps cross the least noise."""
    return (np.arange(levels, -1, -1) / levels) ** 2


def ladder_of(times: np.ndarray, share: float, detail: float) -> ebm.RecoveryLadder:
    """The ladder of some levels.

    Args:
        times: descending times (T + 1,) of the process, from 1 to 0.
        share: step size of Langevin dynamics over the least variance of the reverse kernel.
        detail: standard deviation of the finest details of the data.
    """
    cumulated = np.asarray(process().alpha(times[::-1]), np.float64) ** 2
    betas = 1 - cumulated[1:] / cumulated[:-1]
    least = (1 - betas) * (cumulated[:-1] * detail**2 + 1 - cumulated[:-1])  # of y
    return ebm.recovery_ladder(diffusion.from_betas(betas), share * least * betas / (least + betas))

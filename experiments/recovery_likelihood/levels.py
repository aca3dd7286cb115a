"""The levels of noise of all chains: equidistant times of the variance preserving SDE."""

import numpy as np

from jaxgen import diffusion, ebm


def process() -> diffusion.GaussianProcess:
    """The process, in continuous time."""
    return diffusion.vp()


def ladder_of(levels: int, share: float, detail: float) -> ebm.RecoveryLadder:
    """The ladder of so many levels.

    Args:
        levels: their number.
        share: step size of Langevin dynamics over the least variance of the reverse kernel.
        detail: standard deviation of the finest details of the data.
    """
    cumulated = np.asarray(process().alpha(np.arange(levels + 1) / levels), np.float64) ** 2
    betas = 1 - cumulated[1:] / cumulated[:-1]
    least = (1 - betas) * (cumulated[:-1] * detail**2 + 1 - cumulated[:-1])  # of y
    return ebm.recovery_ladder(diffusion.from_betas(betas), share * least * betas / (least + betas))

"""Linear inverse problems y = A x0 + noise: operators, and denoisers of the posterior p(x0 | y)."""

from jaxgen.diffusion.denoisers.inverse.operators import (
    Operator,
    average_pool,
    blur,
    grayscale,
    mask,
    measurement_residual,
    tight_frame_constant,
    transpose,
)
from jaxgen.diffusion.denoisers.inverse.posterior_sampling import Covariance, dps, pigdm

__all__ = [
    "Covariance",
    "Operator",
    "average_pool",
    "blur",
    "dps",
    "grayscale",
    "mask",
    "measurement_residual",
    "pigdm",
    "tight_frame_constant",
    "transpose",
]

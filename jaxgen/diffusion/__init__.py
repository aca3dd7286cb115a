"""Gaussian diffusion: processes, denoisers, guidance, inverse problems, losses, bounds, flows, likelihoods."""

from jaxgen.diffusion import continuous, denoisers, grids, objectives, processes, times
from jaxgen.diffusion.continuous import *
from jaxgen.diffusion.denoisers import *
from jaxgen.diffusion.grids import *
from jaxgen.diffusion.objectives import *
from jaxgen.diffusion.processes import *

__all__ = ["times"]
__all__ += continuous.__all__
__all__ += denoisers.__all__
__all__ += grids.__all__
__all__ += objectives.__all__
__all__ += processes.__all__

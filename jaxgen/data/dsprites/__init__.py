"""dSprites, the benchmark of disentanglement: rendered by index, or read from the published file."""

from jaxgen.data.dsprites.files import load_dsprites
from jaxgen.data.dsprites.images import DSprites
from jaxgen.data.dsprites.lattice import DSPRITES_FACTORS, dsprites_factors, dsprites_index
from jaxgen.data.dsprites.render import render_dsprites

__all__ = [
    "DSPRITES_FACTORS",
    "DSprites",
    "dsprites_factors",
    "dsprites_index",
    "load_dsprites",
    "render_dsprites",
]

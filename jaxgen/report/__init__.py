"""Figures, tables and the self-contained HTML report of a run."""

from jaxgen.report.animation import animate
from jaxgen.report.curves import curves, panels
from jaxgen.report.dots import dots
from jaxgen.report.fields import Plane, lattice, planes
from jaxgen.report.grids import image_grid, strip
from jaxgen.report.html import Report
from jaxgen.report.records import write_json
from jaxgen.report.runs import run_directory
from jaxgen.report.tradeoff import tradeoff

__all__ = [
    "Plane",
    "Report",
    "animate",
    "curves",
    "dots",
    "image_grid",
    "lattice",
    "panels",
    "planes",
    "run_directory",
    "strip",
    "tradeoff",
    "write_json",
]

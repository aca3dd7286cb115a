"""Figures, tables and the self-contained HTML report of a run. Needs the extra `report`."""

try:
    import jinja2  # noqa: F401
    import markdown_it  # noqa: F401
    import matplotlib  # noqa: F401
    import PIL  # noqa: F401
except ImportError as error:
    raise ImportError(f'jaxgen.report needs {error.name}, not installed: pip install "jaxgen[report]"') from error

from jaxgen.report._dot_plot import dot_plot
from jaxgen.report._tradeoff import tradeoff
from jaxgen.report.animation import animate
from jaxgen.report.encoding import EncodedFigure, encode_figure
from jaxgen.report.fields import Panel2D, panels_2d
from jaxgen.report.graph_drawings import EdgeStyle, GraphPanel, graph_panels
from jaxgen.report.grids import image_grid, strip
from jaxgen.report.line_plots import curves, panels
from jaxgen.report.numbers import format_value
from jaxgen.report.page import write_report
from jaxgen.report.records import write_json
from jaxgen.report.runs import run_directory
from jaxgen.report.tables import Cell, Table, table

__all__ = [
    "Cell",
    "EdgeStyle",
    "EncodedFigure",
    "GraphPanel",
    "Panel2D",
    "Table",
    "animate",
    "curves",
    "dot_plot",
    "encode_figure",
    "format_value",
    "graph_panels",
    "image_grid",
    "panels",
    "panels_2d",
    "run_directory",
    "strip",
    "table",
    "tradeoff",
    "write_json",
    "write_report",
]

"""The style that all figures share: colours, fonts and one width."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import matplotlib
from matplotlib import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from jaxgen.report.numbers import format_value

WIDTH = 732  # CSS pixels; fits the column of a report and of a README
DPI = 192  # two device pixels per CSS pixel

INK, SOFT_INK, RULE = "#1f2430", "#5b6270", "#c9cdd6"
LEVEL_LINE = {"color": SOFT_INK, "linewidth": 1, "linestyle": (0, (4, 3))}
# The colour-blind-safe palette of Okabe & Ito 2008; the first colours differ most in lightness.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b6270")

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.formatter.use_mathtext": True,
    "axes.grid": True,
    "axes.labelcolor": SOFT_INK,
    "axes.labelpad": 6,
    "axes.labelsize": 9,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.dpi": DPI,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#eceef2",
    "grid.linewidth": 0.8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    "xtick.color": RULE,
    "xtick.labelcolor": SOFT_INK,
    "xtick.labelsize": 8,
    "xtick.minor.visible": False,
    "ytick.color": RULE,
    "ytick.labelcolor": SOFT_INK,
    "ytick.labelsize": 8,
}


def house_style(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make `draw` use the house style, whatever the settings of matplotlib."""

    @wraps(draw)
    def styled(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


class _PlainNumbers(LogFormatter):
    """A formatter of ticks of a log axis: 0.02 instead of 2×10⁻², in as many digits as the tick has."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        digits = len(f"{x:.9e}".split("e")[0].replace(".", "").rstrip("0")) or 1
        return super().__call__(x, pos) and format_value(float(x), digits).removeprefix("1×")


def set_scales(axes: Axes, log_x: bool, log_y: bool) -> None:
    """Make the chosen axes logarithmic, with plain numbers at their ticks."""
    for axis, log in (("x", log_x), ("y", log_y)):
        if log:
            axes.set(**{f"{axis}scale": "log"})
            ticks = getattr(axes, f"{axis}axis")
            ticks.set_major_formatter(_PlainNumbers())
            ticks.set_minor_formatter(_PlainNumbers(minor_thresholds=(1, 0.5)))


def inches(css_pixels: int) -> float:
    """Convert CSS pixels, 96 to the inch, to inches."""
    return css_pixels / 96

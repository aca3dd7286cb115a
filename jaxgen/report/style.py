"""The style that all figures share: colours, fonts and one width."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from jaxgen.report.numbers import format_value

WIDTH = 732  # CSS pixels; fits the column of a report and of a README

_STYLE = matplotlib.rc_params_from_file(Path(__file__).with_name("house.mplstyle"), use_default_template=False)
DPI = int(_STYLE["figure.dpi"])  # two device pixels per CSS pixel
INK, SOFT_INK = _STYLE["text.color"], _STYLE["axes.labelcolor"]
PALETTE = tuple(_STYLE["axes.prop_cycle"].by_key()["color"])
LEVEL_LINE = {"color": SOFT_INK, "linewidth": 1, "linestyle": (0, (4, 3))}


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

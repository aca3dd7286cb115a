"""Numbers as text."""

import math
from typing import Any

import numpy as np

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def scalar(value: Any) -> Any:
    """Convert NumPy and JAX scalars to Python's; return anything else unchanged."""
    return value.item() if np.ndim(value) == 0 and hasattr(value, "item") else value


def is_number(value: Any) -> bool:
    """Return whether value is a number or a (number, error) pair."""
    if isinstance(value, tuple):
        return len(value) == 2 and all(is_number(part) and not isinstance(part, tuple) for part in value)
    return isinstance(scalar(value), int | float) and not isinstance(scalar(value), bool)


def format_value(value: Any, digits: int = 3) -> str:
    """Format a value for a table.

    Args:
        value: floats show `digits` significant digits, (value, error) pairs become value ± error, integers keep all
            digits in groups of three, booleans become yes or no, NaN and None become a dash.
        digits: number of significant digits, at least 1.

    Returns:
        The text.
    """
    if isinstance(value, tuple) and is_number(value):
        return _with_error(float(value[0]), float(value[1]), digits)
    value = scalar(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return _significant(value, digits)
    return str(value)


def _significant(value: float, digits: int) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")  # rounds first: 9.996 becomes 10.0
    if value == 0:
        text = "0"
    elif -4 <= int(exponent) < 6:
        text = f"{value:,.{max(0, digits - 1 - int(exponent))}f}"
    else:
        text = f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return text.replace("-", "−")


def _with_error(value: float, error: float, digits: int) -> str:
    """Format value ± error, both rounded to the second digit of the error; both in powers of 10 where they are tiny."""
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return format_value(value, digits)
    decimals = max(0, 1 - int(f"{error:.1e}".split("e")[1]))
    if max(abs(value), error) < 1e-4:
        return f"{_significant(value, 2)} ± {_significant(error, 1)}"
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}".replace("-", "−")


def duration(seconds: float | int) -> str:
    """Format a time in seconds: "1.2 s", "3 min 20 s" or "2 h 5 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"

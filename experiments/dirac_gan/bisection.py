"""Bisection of many intervals at once."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Bracket(NamedTuple):
    """Intervals (n,) in which a property is lost."""

    low: np.ndarray  # where it still holds
    high: np.ndarray  # where it no longer does

    @property
    def middle(self) -> np.ndarray:
        """The middles of the intervals, (n,)."""
        return (self.low + self.high) / 2


def bracket(
    holds: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray, halvings: int = 20
) -> Bracket:
    """Halve intervals at whose lower ends a property holds, and at whose upper ends it does not.

    Args:
        holds: whether the property holds at points, (n,) -> (n,).
        low: lower ends (n,), above 0.
        high: upper ends (n,).
        halvings: how often each interval is halved, in the logarithm.

    Returns:
        The last intervals.

    Raises:
        ValueError: if the property does not hold at a lower end, or holds at an upper end.
    """
    low, high = np.array(low, np.float64), np.array(high, np.float64)
    if not np.all(holds(low)) or np.any(holds(high)):
        raise ValueError(f"the property must hold at the lower ends {low} and not at the upper ends {high}")
    for _ in range(halvings):
        middle = np.sqrt(low * high)
        below = np.asarray(holds(middle))
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return Bracket(low, high)

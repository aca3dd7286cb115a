"""Error bars of the toys' numbers, and comparisons in words that keep within them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from experiments.chance import apart, share
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.report import format_value


def over_seeds(values: Sequence[float]) -> MeanAndError:
    """Mean and standard error over seeds."""
    return mean_and_error(np.asarray(values, np.float64))


def share_estimate(shares: Sequence[float], n: int) -> MeanAndError:
    """Mean over seeds of shares among n draws each, its error at least that of fair draws: few seeds may agree."""
    return share(np.asarray(shares), each=n)


def plus_minus(value: MeanAndError) -> str:
    """A mean and its standard error; next to nothing has none."""
    return format_value(tuple(value)) if max(map(abs, value)) > 1e-4 else format_value(float(value.mean), 1)


def ranking(values: Mapping[str, Sequence[float]]) -> str:
    """Names by ascending mean over seeds, with errors: joined by < where neighbours are apart, else by ≈."""
    names = sorted(values, key=lambda name: np.mean(values[name]))
    told = [f"{name} {plus_minus(over_seeds(values[name]))}" for name in names]
    signs = ["<" if apart(values[a], values[b]) else "≈" for a, b in pairwise(names)]
    return told[0] + "".join(f" {sign} {of}" for sign, of in zip(signs, told[1:], strict=True))


def restores(found: Sequence[MeanAndError], weight: float, limit: float = 0.02) -> str:
    """Whether all of these shares are the weight: within the limit, else within two standard errors, or not."""
    gaps = [abs(of.mean - weight) for of in found]
    if all(gap <= limit for gap in gaps):
        return f"restores them within {limit:g}"
    if all(gap <= max(limit, 2 * of.error) for gap, of in zip(gaps, found, strict=True)):
        return f"restores them within chance, not within {limit:g}"
    return "does not restore them"


def loses(found: MeanAndError, weight: float, limit: float = 0.02) -> str:
    """Whether a share misses the weight by more than the limit and chance."""
    lost = abs(found.mean - weight) > max(limit, 2 * found.error)
    return "loses the weights" if lost else "does not lose the weights"

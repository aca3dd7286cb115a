"""Results in words, for the reports' templates."""

from experiments.kit.statistics import Interval, Ranking
from jaxgen.report import format_value


def ascending(ranking: Ranking) -> str:
    """The names and means of a ranking, joined by < where neighbours differ beyond chance, else by ≈."""
    texts = [f"{name} {format_value(mean)}" for name, mean in ranking.means.items()]
    signs = ["<" if differ else "≈" for differ in ranking.neighbours_differ]
    return texts[0] + "".join(f" {sign} {text}" for sign, text in zip(signs, texts[1:], strict=True))


def interval(of: Interval) -> str:
    """A share and its interval, in three decimals."""
    return f"{of.mean:.3f} ({of.low:.3f}–{of.high:.3f})"


FILTERS = {"ascending": ascending, "interval": interval}

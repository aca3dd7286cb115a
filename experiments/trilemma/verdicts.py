"""The trilemma as a decision by the numbers: who is best in quality, coverage and speed, and who is in all three."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from experiments.kit.literature import TRILEMMA
from experiments.kit.statistics import verdict
from experiments.trilemma.measure_images import NOISE, Sampled

QUALITY, COVERAGE, SPEED = "quality", "coverage", "speed"
CLEAR = 0.25  # images are called recognisable if their KID is at most this share of that of independent pixels


class Order(NamedTuple):
    """Kendall's rank correlation of measured and published distances, its p-value, and the number of ways."""

    correlation: float
    p: float
    count: int


class Verdicts(NamedTuple):
    """What follows from the numbers.

    Attributes:
        best: by criterion, the ways that are not worse than the best of it beyond chance, the best first.
        all_three: the ways that are among the best in all three.
        corners: by way, its place on each criterion between 0, the worst of all ways, and 1, the best.
        shares: by way, its KID over that of images of independent pixels.
        recognisable: the ways whose images are called recognisable.
        others: the ways whose images are not.
        order: whether measured and published distances have one order; None for fewer than three ways.
    """

    best: dict[str, list[str]]
    all_three: list[str]
    corners: dict[str, tuple[float, float, float]]
    shares: dict[str, float]
    recognisable: list[str]
    others: list[str]
    order: Order | None


def decide(images: Mapping[str, Sampled]) -> Verdicts:
    """The verdicts on all ways, beside which there are the controls."""
    ways = {title: of for title, of in images.items() if of.calls is not None}
    best = {
        QUALITY: _best({title: of.of("frechet") for title, of in ways.items()}, "low"),
        COVERAGE: _best({title: of.of("recall") for title, of in ways.items()}, "high"),
        SPEED: _best({title: of.seconds for title, of in ways.items()}, "low"),
    }
    noise = images[NOISE].mean("kernel").mean
    shares = {title: of.mean("kernel").mean / noise for title, of in ways.items()}
    clear = [title for title, share in shares.items() if share <= CLEAR]
    return Verdicts(
        best=best,
        all_three=[title for title in ways if all(title in names for names in best.values())],
        corners=corners(ways),
        shares=shares,
        recognisable=clear,
        others=[title for title in ways if title not in clear],
        order=order(ways),
    )


def _best(values: Mapping[str, object], best: Literal["low", "high"]) -> list[str]:
    """The names whose values are not worse than the best ones beyond chance, the best first."""
    sign = 1 if best == "low" else -1
    ranked = sorted(values, key=lambda name: sign * _mean(values[name]))
    return [ranked[0], *(name for name in ranked[1:] if verdict(values[name], values[ranked[0]], best=best) != "worse")]


def _mean(value: object) -> float:
    return float(value.mean if hasattr(value, "error") else np.mean(value))


def corners(ways: Mapping[str, Sampled]) -> dict[str, tuple[float, float, float]]:
    """Distances and seconds on a logarithmic scale, recall on a linear one."""
    scales = [
        {title: -np.log(of.mean("frechet").mean) for title, of in ways.items()},
        {title: of.mean("recall").mean for title, of in ways.items()},
        {title: -np.log(of.seconds.mean) for title, of in ways.items()},
    ]

    def place(scale: dict[str, float], title: str) -> float:
        low, high = min(scale.values()), max(scale.values())
        return float((scale[title] - low) / (high - low)) if high > low else 1.0

    return {title: tuple(place(scale, title) for scale in scales) for title in ways}


def order(ways: Mapping[str, Sampled]) -> Order | None:
    """Compare the order of measured Fréchet distances with that of the published FIDs."""
    pairs = [(of.mean("frechet").mean, TRILEMMA[of.published].fid) for of in ways.values() if of.published]
    if len(pairs) < 3:
        return None
    found = stats.kendalltau(*zip(*pairs, strict=True))
    return Order(float(found.statistic), float(found.pvalue), len(pairs))

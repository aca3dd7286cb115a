"""Chains at one noise level, and down all of them: where they end, and on which side they began."""

from typing import NamedTuple

import numpy as np

from experiments.gmm_scores.draw import Drawing, Walk
from experiments.gmm_scores.measure_scores import CELLS
from experiments.kit.plane import lattice
from experiments.kit.toy_sampling import density, nearest_mode, outside

EXACT = "exact ∇ log p"


class Chains(NamedTuple):
    """Gradient ascent or Langevin dynamics by one score, of the first seed."""

    sigma: float  # the network's level; 0 for the exact score of p
    density: np.ndarray  # of p * N(0, σ² I), (CELLS, CELLS)
    paths: np.ndarray  # (frames + 1, k, 2), from a circle
    ends: np.ndarray  # (n, 2), from all over the square
    weight: float  # share of the ends nearer to mode 1
    points: int  # distinct ends of the paths
    last_move: float  # the farthest that a path moves in its last tenth
    changed: float  # share of the ends nearer to another mode than their start

    @property
    def name(self) -> str:
        """Whose score it is."""
        return f"network, σ = {self.sigma:g}" if self.sigma else EXACT


class OneLevelChains(NamedTuple):
    """Chains by every score, from the same starts."""

    ascent: list[Chains]
    langevin: list[Chains]
    sides: np.ndarray  # (n,), the mode, 0 or 1, that each chain starts nearer to
    start_weight: float  # share of the starts nearer to mode 1
    outside_paths: dict[str, float]  # shares outside the figures' square, by name
    outside_ends: dict[str, float]


class State(NamedTuple):
    """The chains of annealed Langevin dynamics at the start or after a level."""

    sigma: float | None  # None at the start
    density: np.ndarray | None  # of p * N(0, σ² I)
    x: np.ndarray  # (n, 2)
    weight: float  # share nearer to mode 1

    @property
    def name(self) -> str:
        """When it is."""
        return "starts" if self.sigma is None else f"after σ = {self.sigma:.3g}"


class Annealing(NamedTuple):
    """Annealed Langevin dynamics by the network of all levels, of the first seed."""

    sigmas: np.ndarray  # (levels,)
    weights: np.ndarray  # (levels + 1,), shares nearer to mode 1, at the start and after each level
    changed: np.ndarray  # (levels + 1,), shares nearer to another mode than at the start
    settled: int  # the level from which on the weight stays within `within` of the last
    within: float  # two standard errors of the last weight
    shown: list[State]
    sides: np.ndarray  # (n,), the mode that each chain starts nearer to
    half: float  # half the side of the square shown
    outside: dict[str, float]  # shares outside that square, by name


def one_level_chains(drawing: Drawing) -> OneLevelChains:
    """Ascent and Langevin dynamics by the exact score and by the network of each σ."""
    start, means = np.asarray(drawing.starts(0)), drawing.models.mixture.means
    sides, points = nearest_mode(start, means), lattice((-drawing.half, drawing.half), CELLS)

    def chains(sigma: float, noise_scale: float) -> Chains:
        walk: Walk = drawing.walk(sigma, 0, noise_scale=noise_scale)
        ends = nearest_mode(walk.ends, means)
        return Chains(
            sigma,
            density(drawing.models.mixture, points, sigma),
            walk.paths,
            walk.ends,
            weight=float(np.mean(ends == 0)),
            points=count_points(walk.paths[-1]),
            last_move=last_move(walk.paths),
            changed=float(np.mean(ends != sides)),
        )

    levels = (0.0, *drawing.models.single)
    ascent, langevin = ([chains(sigma, scale) for sigma in levels] for scale in (0.0, 1.0))
    return OneLevelChains(
        ascent, langevin, sides, float(np.mean(sides == 0)),
        outside_paths=outside({of.name: tenth(of.paths) for of in langevin}, drawing.half),
        outside_ends=outside({of.name: of.ends for of in langevin}, drawing.half),
    )  # fmt: skip


def tenth(paths: np.ndarray) -> np.ndarray:
    """The first tenth of paths (frames + 1, n, 2)."""
    return paths[: 1 + len(paths) // 10]


def count_points(ends: np.ndarray, distance: float = 0.5) -> int:
    """The number of points (n, 2) that are farther than `distance` from all counted before them."""
    kept: list[np.ndarray] = []
    for x in ends:
        if all(np.linalg.norm(x - y) > distance for y in kept):
            kept.append(x)
    return len(kept)


def last_move(paths: np.ndarray) -> float:
    """The farthest that a path (frames + 1, n, 2) moves over its last tenth."""
    moved = paths[-1] - paths[-1 - max(1, (len(paths) - 1) // 10)]
    return float(np.linalg.norm(moved, axis=-1).max())


def annealing(drawing: Drawing) -> Annealing:
    """What becomes of the chains level by level, down the full ladder."""
    sigmas, half, mixture = drawing.ladders.full, 1.5 * drawing.half, drawing.models.mixture
    path = drawing.anneal("full", 0)
    modes = nearest_mode(path, mixture.means)
    weights = np.mean(modes == 0, -1)
    points = lattice((-half, half), CELLS)

    def state(index: int) -> State:
        if index == 0:
            return State(None, None, path[0], float(weights[0]))
        sigma = float(sigmas[index - 1])
        return State(sigma, density(mixture, points, sigma), path[index], float(weights[index]))

    shown = [state(i) for i in (0, *np.unique(np.linspace(1, len(sigmas), 5).round().astype(int)))]
    within = 2 * float(np.sqrt(weights[-1] * (1 - weights[-1]) / path.shape[1]))
    return Annealing(
        sigmas,
        weights,
        changed=np.mean(modes != modes[0], -1),
        settled=settles_at(weights[1:], within),
        within=within,
        shown=shown,
        sides=modes[0],
        half=half,
        outside=outside({of.name: of.x for of in shown}, half),
    )


def settles_at(values: np.ndarray, within: float) -> int:
    """The index from which on all values (n,) are within this distance of the last one."""
    return int(np.max(np.flatnonzero(np.abs(values - values[-1]) > within), initial=-1)) + 1


def moving(chains: list[Chains], still: float = 0.05) -> dict[str, float]:
    """The last moves of the chains that have not come to rest, by name."""
    return {of.name: of.last_move for of in chains if of.last_move > still}

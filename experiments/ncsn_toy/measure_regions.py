"""The errors of learned scores by the density of the data, in particular where data are rare."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.kit.plane import lattice
from experiments.kit.statistics import over_repetitions
from experiments.kit.toy_sampling import density, exact_field, learned_field, log_density
from experiments.ncsn_toy.train import Models
from jaxgen.metrics import MeanAndError

HALF, ARROWS, CELLS = 8.0, 17, 120
LIMITS = (-HALF, HALF)
CLEAN = "learned on clean data"


class Regions(NamedTuple):
    """Relative errors of learned scores on the square [−8, 8]², and the fields themselves."""

    common: MeanAndError  # of the network of clean data where p > 1e-3
    rare: MeanAndError  # where p < 1e-6
    rare_share: float  # the share of the square where p < 1e-6
    of_levels: dict[float, MeanAndError]  # of the network of all levels where p < 1e-6, by σ
    log_p: np.ndarray  # (bins,), log₁₀ p at the middle of each bin
    by_density: dict[str, np.ndarray]  # (bins,), the relative error by bin
    p: np.ndarray  # (cells, cells)
    places: np.ndarray  # (arrows, 2)
    exact: np.ndarray  # (arrows, 2), the exact score at the places
    learned: np.ndarray  # (arrows, 2), that of the first network of clean data
    error: np.ndarray  # (cells, cells), the length of its error
    largest_at: float  # log₁₀ p where the error is largest
    loss_share: float  # the share of p ‖error‖² where p > 1e-6


def measure_regions(models: Models) -> Regions:
    """Compare the learned scores with the exact ones on a grid."""
    mixture, points = models.mixture, lattice(LIMITS, CELLS)
    p, log_p = density(mixture, points), log_density(mixture, points) / np.log(10)
    of_p = exact_field(mixture, points)
    errors = [learned_field(models.net, params, points) - of_p for params in models.clean]
    edges = np.arange(np.floor(log_p.min()), 1.0)
    common, rare = log_p > -3, log_p < -6
    lines, of_levels = {CLEAN: np.mean([by_density(e, of_p, log_p, edges) for e in errors], 0)}, {}
    for sigma in models.sigmas[[-1, len(models.sigmas) // 2, 0]]:
        of_q = exact_field(mixture, points, sigma)
        found = [learned_field(models.net, params, points, sigma) - of_q for params in models.many]
        lines[f"all levels, at σ = {sigma:.3g}"] = np.mean([by_density(e, of_q, log_p, edges) for e in found], 0)
        of_levels[float(sigma)] = relative_errors(found, of_q, rare)
    places, length = lattice(LIMITS, ARROWS).reshape(-1, 2), np.linalg.norm(errors[0], axis=-1)
    weighted = p * length**2
    return Regions(
        common=relative_errors(errors, of_p, common),
        rare=relative_errors(errors, of_p, rare),
        rare_share=float(np.mean(rare)),
        of_levels=of_levels,
        log_p=edges[:-1] + 0.5,
        by_density=lines,
        p=p,
        places=places,
        exact=exact_field(mixture, places),
        learned=learned_field(models.net, models.clean[0], places),
        error=length,
        largest_at=float(log_p.flat[np.argmax(length)]),
        loss_share=float(weighted[~rare].sum() / weighted.sum()),
    )


def by_density(error: np.ndarray, target: np.ndarray, log_density: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Relative error √(Σ‖error‖²/Σ‖target‖²) in each bin of log-density between ascending edges; NaN in empty ones."""
    bins = np.digitize(log_density.ravel(), edges) - 1
    squares = [np.sum(np.square(field), -1).ravel() for field in (error, target)]
    sums = [np.bincount(bins, weights, len(edges))[: len(edges) - 1] for weights in squares]
    return np.sqrt(np.divide(sums[0], sums[1], out=np.full(len(edges) - 1, np.nan), where=sums[1] > 0))


def relative_errors(errors: Sequence[np.ndarray], target: np.ndarray, where: np.ndarray) -> MeanAndError:
    """√(Σ‖error‖²/Σ‖target‖²) over the places `where`: mean and standard error over trainings."""
    total = np.sum(np.square(target[where]))
    return over_repetitions([np.sqrt(np.sum(np.square(error[where])) / total) for error in errors])

"""The scores of the mixture, and those of the networks of one noise level."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from experiments.gmm_scores.train import Models
from experiments.kit.plane import lattice
from experiments.kit.statistics import over_repetitions
from experiments.kit.toy_sampling import density, exact_field, learned_field, log_density, sample_mixture
from experiments.kit.toy_training import Fit
from jaxgen.distributions import GaussianMixture
from jaxgen.metrics import MeanAndError

CELLS, EVERY = 153, 9  # cells on a side of the square; arrows stand at the centre of every ninth


class Target(NamedTuple):
    """The mixture p of two Gaussians, draws of it, and its score."""

    weights: np.ndarray  # (2,)
    means: np.ndarray  # (2, 2)
    covariances: np.ndarray  # (2, 2, 2)
    distance: float  # between the means
    half: float  # half the side of the square that figures show
    draws: np.ndarray  # (n, 2)
    density: np.ndarray  # (CELLS, CELLS)
    places: np.ndarray  # (k, 2)
    score: np.ndarray  # (k, 2)


class Field(NamedTuple):
    """The score of q = p * N(0, σ² I), exact and by a network, at the places of arrows."""

    sigma: float
    density: np.ndarray  # of q, (CELLS, CELLS)
    places: np.ndarray  # (k, 2)
    exact: np.ndarray  # (k, 2)
    learned: np.ndarray  # (k, 2)


class Distance(NamedTuple):
    """Root mean square distance between two scores over the square: under a density, and of all points alike."""

    weighted: MeanAndError | float
    unweighted: MeanAndError | float


class Halves(NamedTuple):
    """Where q is low (in the half of the square's cells with the least density) and where it is high.

    Attributes:
        mass: share of q in the low half.
        loss: share of the low half in the remaining loss E_q ‖network − ∇ log q‖².
        error_low: root mean square error in the low half.
        error_high: root mean square error in the other half.
    """

    mass: float
    loss: float
    error_low: float
    error_high: float


class OneLevel(NamedTuple):
    """The networks of one σ against the scores of q = p * N(0, σ² I) and of p.

    Maps are of the first seed's network. A distance from q's score is weighted by q, one from p's by p.
    """

    field: Field
    cosine: float  # mean over the arrows, between learned and exact
    modes: int  # of q
    error: np.ndarray  # ‖network − ∇ log q‖, (CELLS, CELLS)
    loss: np.ndarray  # q ‖network − ∇ log q‖²
    from_p: np.ndarray  # ‖network − ∇ log p‖
    exact_from_p: np.ndarray  # ‖∇ log q − ∇ log p‖
    to_q: Distance
    to_p: Distance
    q_to_p: Distance  # weighted by p
    halves: Halves


def target(mixture: GaussianMixture, n: int, half: float, key: jax.Array) -> Target:
    """The mixture with n draws, on the square [−half, half]²."""
    weights, means, covariances = (np.asarray(leaf) for leaf in jax.tree.leaves(mixture))
    points = lattice((-half, half), CELLS)
    return Target(
        weights, means, covariances, float(np.linalg.norm(means[0] - means[1])), half,
        draws=np.asarray(sample_mixture(mixture, key, n)),
        density=density(mixture, points),
        places=at_arrows(points),
        score=at_arrows(exact_field(mixture, points)),
    )  # fmt: skip


def at_arrows(vectors: np.ndarray) -> np.ndarray:
    """The vectors (CELLS, CELLS, 2) at the places of arrows, (k, 2)."""
    return vectors[EVERY // 2 :: EVERY, EVERY // 2 :: EVERY].reshape(-1, 2)


def field(models: Models, fit: Fit, sigma: float, half: float) -> Field:
    """The scores at level σ, exact and by one network."""
    points = lattice((-half, half), CELLS)
    return Field(
        sigma,
        density(models.mixture, points, sigma),
        at_arrows(points),
        at_arrows(exact_field(models.mixture, points, sigma)),
        at_arrows(learned_field(models.net, fit.params, points, sigma)),
    )


def one_level(models: Models, sigma: float, half: float) -> OneLevel:
    """Compare the networks of one σ with the scores of q and of p."""
    points, fits = lattice((-half, half), CELLS), models.single[sigma]
    p, of_p = density(models.mixture, points), exact_field(models.mixture, points)
    q, of_q = density(models.mixture, points, sigma), exact_field(models.mixture, points, sigma)
    scores = [learned_field(models.net, fit.params, points, sigma) for fit in fits]
    error = np.linalg.norm(scores[0] - of_q, axis=-1)
    low = q < np.quantile(q, 0.5)
    shown = field(models, fits[0], sigma, half)
    return OneLevel(
        field=shown,
        cosine=float(np.mean(cosine(shown.learned, shown.exact))),
        modes=count_modes(models.mixture, sigma),
        error=error,
        loss=q * error**2,
        from_p=np.linalg.norm(scores[0] - of_p, axis=-1),
        exact_from_p=np.linalg.norm(of_q - of_p, axis=-1),
        to_q=distance(scores, of_q, q),
        to_p=distance(scores, of_p, p),
        q_to_p=Distance(rms(of_q - of_p, p), rms(of_q - of_p)),
        halves=Halves(
            mass=float(q[low].sum() / q.sum()),
            loss=float((q * error**2)[low].sum() / (q * error**2).sum()),
            error_low=float(np.mean([rms((score - of_q)[low]) for score in scores])),
            error_high=float(np.mean([rms((score - of_q)[~low]) for score in scores])),
        ),
    )


def distance(scores: Sequence[np.ndarray], exact: np.ndarray, weights: np.ndarray) -> Distance:
    """The distance of the networks' scores from an exact one, mean and standard error over the networks."""
    return Distance(
        over_repetitions([rms(score - exact, weights) for score in scores]),
        over_repetitions([rms(score - exact) for score in scores]),
    )


def rms(vectors: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Root mean square length of vectors (…, 2) under weights (…), by default equal ones."""
    squares = np.sum(np.square(np.asarray(vectors, np.float64)), -1)
    return float(np.sqrt(np.average(squares, weights=weights)))


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of the angle between vectors (…, 2)."""
    return np.sum(a * b, -1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def count_modes(mixture: GaussianMixture, sigma: float) -> int:
    """The number of maxima that the density under noise σ has along the line through both means."""
    means = np.asarray(mixture.means, np.float64)
    along = means[0] + np.linspace(-0.2, 1.2, 2001)[:, None] * (means[1] - means[0])
    values = log_density(mixture, along, sigma)
    inside = values[1:-1]
    return int(np.sum((inside > values[:-2]) & (inside >= values[2:])))

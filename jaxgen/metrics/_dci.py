"""Disentanglement, completeness and informativeness (DCI) of latent codes."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Int64

from jaxgen.metrics.factors import check_codes, train_test_split

_LEAF_SIZES = (80, 20, 5, 1)  # least number of codes in a leaf; the first of those that do equally well is taken


class DCI(NamedTuple):
    """Disentanglement and completeness in [0, 1], informativeness as held-out accuracy, and the importance (d, k)."""

    disentanglement: float
    completeness: float
    informativeness: float
    importance: np.ndarray


def dci(codes: ArrayLike, factors: ArrayLike, *, trees: int = 10, seed: int = 0) -> DCI:
    """Compute DCI with one random forest per factor.

    A forest predicts the class of one factor from all latents. The importance of a latent is the impurity that its
    splits remove. Two thirds of the codes train the forests; informativeness is the accuracy on the rest, averaged over
    factors. A part of the training codes chooses the leaf size: without this, trees split noise.

    Scores from different predictors do not compare. The paper uses lasso weights and regression forests; Locatello et
    al. 2019 use gradient boosted trees. For another predictor, pass its importance to `disentanglement_completeness`.

    Args:
        codes: latent codes, shape (n, d), n >= 9, d >= 2.
        factors: integer classes, shape (n, k), k >= 2.
        trees: number of trees in a forest.
        seed: seed of the split and the forests.

    Returns:
        The three scores and the importance, as `DCI`.

    Raises:
        ValueError: if codes are not finite or of one latent, factors are not integers, are constant or not n rows, or
            there are fewer than 9 codes, 2 factors or 1 tree.
        ImportError: if scikit-learn is not installed, which comes with the extra `experiments`.

    Reference:
        Eastwood & Williams 2018, "A framework for the quantitative evaluation of disentangled representations".
    """
    codes, classes = check_codes(codes, factors)
    if trees < 1 or len(codes) < 9 or classes.shape[1] < 2:
        raise ValueError(
            "dci needs 1 tree, 9 codes and 2 factors at least, "
            f"got trees={trees}, codes {codes.shape} and factors {classes.shape}"
        )
    train, test = train_test_split(len(codes), seed)
    importance, accuracy = [], []
    for column in classes.T:
        forest = _forest(codes[train], column[train], trees, seed)
        importance.append(forest.feature_importances_)
        accuracy.append(forest.score(codes[test], column[test]))
    importance = np.stack(importance, 1)
    scores = disentanglement_completeness(importance) if importance.any() else (0.0, 0.0)  # no tree split
    return DCI(*scores, float(np.mean(accuracy)), importance)


def disentanglement_completeness(importance: ArrayLike) -> tuple[float, float]:
    """Compute disentanglement and completeness from an importance matrix, both in [0, 1].

    Disentanglement is Σ_i ρ_i (1 − H_k(P_i)): P_i is row i divided by its sum, H_k the entropy to base k, and ρ_i the
    row's share of the total. Completeness is the same for the columns, with base d. The scale of the importance has no
    effect.

    Args:
        importance: importance of latent i for factor j, shape (d, k), d >= 2, k >= 2, not negative.

    Returns:
        (disentanglement, completeness).

    Raises:
        ValueError: unless the importance is finite, not negative, not all zero, and of shape (d, k), d, k >= 2.

    Reference:
        Eastwood & Williams 2018, §2.
    """
    importance = np.asarray(importance, np.float64)
    if importance.ndim != 2 or min(importance.shape) < 2:
        raise ValueError(f"importance must be of shape (d, k), d >= 2 and k >= 2, got {importance.shape}")
    if not (np.isfinite(importance).all() and (importance >= 0).all() and importance.any()):
        raise ValueError("importance must be finite and not negative, and not all zero: take absolute values")
    return _concentration(importance), _concentration(importance.T)


def _forest(codes: Float64[np.ndarray, "n d"], classes: Int64[np.ndarray, " n"], trees: int, seed: int):
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as error:
        raise ImportError('dci needs scikit-learn: pip install "jaxgen[experiments]"') from error

    def fit(rows, leaf: int):
        # Every split may use any latent: a random subset could hold only uninformative ones.
        forest = RandomForestClassifier(trees, min_samples_leaf=leaf, max_features=None, random_state=seed)
        return forest.fit(codes[rows], classes[rows])

    train, validation = train_test_split(len(codes), seed)
    best = max(_LEAF_SIZES, key=lambda leaf: fit(train, leaf).score(codes[validation], classes[validation]))
    return fit(slice(None), best)


def _concentration(importance: Float64[np.ndarray, "rows columns"]) -> float:
    total = importance.sum(1)
    shares = importance[total > 0] / total[total > 0, None]
    logs = np.log(np.where(shares > 0, shares, 1)) / np.log(importance.shape[1])
    return float(np.average(1 + np.sum(shares * logs, 1), weights=total[total > 0]))

"""Disentanglement, completeness and informativeness (Eastwood & Williams 2018, openreview By-7dz-AZ)."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Int64

from jaxgen.metrics.factors import as_codes, as_factors, train_and_test

_LEAVES = (80, 20, 5, 1)  # codes in a leaf at least; of those that do as well, the first


class DCI(NamedTuple):
    """Disentanglement and completeness in [0, 1], informativeness as held-out accuracy, and the importance (d, k)."""

    disentanglement: float
    completeness: float
    informativeness: float
    importance: np.ndarray


def dci(codes: ArrayLike, factors: ArrayLike, *, trees: int = 10, seed: int = 0) -> DCI:
    """Returns DCI of codes (n, d) and factors (n, k), integers, by a random forest per factor that predicts its class.

    A forest's importance of a latent is the impurity that its splits remove; a forest is grown on two thirds of the
    codes, and informativeness is its accuracy on the rest, averaged over factors (1/classes is chance). Leaves are as
    large as does best on a part of the codes for training kept back for that, else trees split noise by latents that
    know nothing. The paper has two predictors, the lasso's weights and random forests of validated depth, both
    regressions with the root mean squared error; Locatello et al. 2019 have gradient boosted trees and accuracy, much
    slower. Scores by different predictors do not compare; for another, give its importance to
    `disentanglement_completeness`.

    Raises ValueError for codes that are not finite or of fewer than two latents, for factors that are not integers,
    constant, fewer than two or not as many, fewer than 9 codes, or no trees. Raises ImportError without scikit-learn.
    """
    codes = as_codes(codes)
    classes = as_factors(factors, len(codes))
    if trees < 1 or len(codes) < 9 or classes.shape[1] < 2:
        raise ValueError(
            "dci needs 1 tree, 9 codes and 2 factors at least, "
            f"got trees={trees}, codes {codes.shape} and factors {classes.shape}"
        )
    train, test = train_and_test(len(codes), seed)
    importance, accuracy = [], []
    for column in classes.T:
        forest = _forest(codes[train], column[train], trees, seed)
        importance.append(forest.feature_importances_)
        accuracy.append(forest.score(codes[test], column[test]))
    importance = np.stack(importance, 1)
    scores = disentanglement_completeness(importance) if importance.any() else (0.0, 0.0)  # no latent helps at all
    return DCI(*scores, float(np.mean(accuracy)), importance)


def disentanglement_completeness(importance: ArrayLike) -> tuple[float, float]:
    """Returns how far each latent serves one factor, and each factor is served by one latent, both in [0, 1].

    Of the importance (d, k) of latent i for factor j, none negative: Σ_i ρ_i (1 − H_k(row i)), where H_k is the entropy
    to the base k of a row that is made to sum to 1 and ρ_i the row's share of the whole; and the same of the columns,
    to the base d (§2). The scale of the importance has no effect.

    Raises ValueError unless it is finite, not negative, not all zero, and of at least two latents and two factors.
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
        raise ImportError("dci needs scikit-learn: pip install jaxgen[experiments]") from error

    def grown(rows, leaf: int):
        # All latents are offered at each split: else those that know nothing would have to be split.
        forest = RandomForestClassifier(trees, min_samples_leaf=leaf, max_features=None, random_state=seed)
        return forest.fit(codes[rows], classes[rows])

    fitted, kept = train_and_test(len(codes), seed)
    best = max(_LEAVES, key=lambda leaf: grown(fitted, leaf).score(codes[kept], classes[kept]))
    return grown(slice(None), best)


def _concentration(importance: Float64[np.ndarray, "rows columns"]) -> float:
    total = importance.sum(1)
    shares = importance[total > 0] / total[total > 0, None]
    logs = np.log(np.where(shares > 0, shares, 1)) / np.log(importance.shape[1])
    return float(np.average(1 + np.sum(shares * logs, 1), weights=total[total > 0]))

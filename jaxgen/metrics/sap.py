"""Separated attribute predictability (Kumar et al. 2018, arXiv:1711.00848, §3)."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Int64

from jaxgen.metrics.factors import as_codes, as_factors, gaps, train_and_test


class SAP(NamedTuple):
    """The score in [0, 1], the gap of each factor (k,), and how well each latent predicts each factor, (d, k)."""

    score: float
    per_factor: np.ndarray
    predictability: np.ndarray


def sap(codes: ArrayLike, factors: ArrayLike, *, categorical: Collection[int] = (), seed: int = 0) -> SAP:
    """Returns how far the latent that predicts a factor best, alone, leads the next, averaged over factors.

    Of codes (n, d) and factors (n, k), integers. A factor's classes count as equally spaced values, predicted linearly:
    the predictability is R², the squared correlation. Those of the columns `categorical` have no order: for them it is
    the balanced accuracy of thresholds, one fewer than there are classes, grown as a decision tree on two thirds of
    the codes and tested on the rest. Locatello et al. 2019 take all factors as categorical, with linear classifiers;
    the scores do not compare.

    Raises ValueError for codes that are not finite or of fewer than two latents, for factors that are not integers,
    constant or not as many, and for columns that are not there. For categorical factors it raises ValueError for fewer
    than 6 codes, and ImportError without scikit-learn.
    """
    codes = as_codes(codes)
    classes = as_factors(factors, len(codes))
    if bad := sorted(set(categorical) - set(range(classes.shape[1]))):
        raise ValueError(
            f"categorical names the columns {bad}, but factors have the columns 0 to {classes.shape[1] - 1}"
        )
    if len(categorical) and len(codes) < 6:
        raise ValueError(
            f"categorical factors need 6 codes at least, to fit thresholds and test them, got {len(codes)}"
        )
    predictability = _squared_correlations(codes, classes)
    for j in categorical:
        predictability[:, j] = _balanced_accuracies(codes, classes[:, j], seed)
    per_factor = gaps(predictability)
    return SAP(float(per_factor.mean()), per_factor, predictability)


def _squared_correlations(
    codes: Float64[np.ndarray, "n d"], classes: Int64[np.ndarray, "n k"]
) -> Float64[np.ndarray, "d k"]:
    codes, values = codes - codes.mean(0), classes - classes.mean(0)
    spread = np.sum(codes**2, 0)[:, None] * np.sum(values**2, 0)
    return np.divide((codes.T @ values) ** 2, spread, out=np.zeros_like(spread), where=spread > 0)


def _balanced_accuracies(
    codes: Float64[np.ndarray, "n d"], classes: Int64[np.ndarray, " n"], seed: int
) -> Float64[np.ndarray, " d"]:
    try:
        from sklearn.metrics import recall_score
        from sklearn.tree import DecisionTreeClassifier
    except ImportError as error:
        raise ImportError("sap of categorical factors needs scikit-learn: pip install jaxgen[experiments]") from error
    train, test = train_and_test(len(codes), seed)
    accuracies = []
    for latent in codes.T[..., None]:
        tree = DecisionTreeClassifier(max_leaf_nodes=classes.max() + 1, class_weight="balanced", random_state=seed)
        guessed = tree.fit(latent[train], classes[train]).predict(latent[test])
        accuracies.append(recall_score(classes[test], guessed, labels=np.unique(classes[test]), average="macro"))
    return np.array(accuracies)

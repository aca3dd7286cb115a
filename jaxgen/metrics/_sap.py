"""Separated attribute predictability (SAP) of latent codes."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float64, Int64

from jaxgen.metrics.factors import check_codes, top_two_gaps, train_test_split


class SAP(NamedTuple):
    """The score in [0, 1], the gap of each factor (k,), and the predictability (d, k) of factors from latents."""

    score: float
    per_factor: np.ndarray
    predictability: np.ndarray


def sap(codes: ArrayLike, factors: ArrayLike, *, categorical: Collection[int] = (), seed: int = 0) -> SAP:
    """Compute SAP: the gap between the two latents that best predict a factor, averaged over factors.

    Each latent predicts each factor alone. For an ordered factor the classes count as equally spaced values, and the
    predictability is the R² of a linear regression. For a categorical factor it is the balanced accuracy of a decision
    tree with one leaf per class, trained on two thirds of the codes and tested on the rest. Scores do not compare with
    Locatello et al. 2019, who take all factors as categorical and use linear classifiers.

    Args:
        codes: latent codes, shape (n, d), d >= 2.
        factors: integer classes, shape (n, k).
        categorical: columns of factors whose classes have no order.
        seed: seed of the split and the trees.

    Returns:
        The score, the gaps and the predictability, as `SAP`.

    Raises:
        ValueError: if codes are not finite or of one latent, factors are not integers, are constant or not n rows,
            `categorical` names unknown columns, or there are categorical factors and fewer than 6 codes.
        ImportError: if there are categorical factors and scikit-learn is not installed, which comes with the extra
            `experiments`.

    Reference:
        Kumar et al. 2018, arXiv:1711.00848, §3.
    """
    codes, classes = check_codes(codes, factors)
    if bad := sorted(set(categorical) - set(range(classes.shape[1]))):
        raise ValueError(f"categorical columns {bad}, but factors have the columns 0 to {classes.shape[1] - 1}")
    if len(categorical) and len(codes) < 6:
        raise ValueError(f"categorical factors need 6 codes at least, for thresholds and their test: got {len(codes)}")
    predictability = _squared_correlations(codes, classes)
    for j in categorical:
        predictability[:, j] = _balanced_accuracies(codes, classes[:, j], seed)
    per_factor = top_two_gaps(predictability)
    return SAP(float(per_factor.mean()), per_factor, predictability)


def _squared_correlations(
    codes: Float64[np.ndarray, "n d"], classes: Int64[np.ndarray, "n k"]
) -> Float64[np.ndarray, "d k"]:
    codes, values = codes - codes.mean(0), classes - classes.mean(0)
    norms = np.sum(codes**2, 0)[:, None] * np.sum(values**2, 0)
    return np.divide((codes.T @ values) ** 2, norms, out=np.zeros_like(norms), where=norms > 0)


def _balanced_accuracies(
    codes: Float64[np.ndarray, "n d"], classes: Int64[np.ndarray, " n"], seed: int
) -> Float64[np.ndarray, " d"]:
    try:
        from sklearn.metrics import recall_score
        from sklearn.tree import DecisionTreeClassifier
    except ImportError as error:
        raise ImportError('sap of categorical factors needs scikit-learn: pip install "jaxgen[experiments]"') from error
    train, test = train_test_split(len(codes), seed)
    accuracies = []
    for latent in codes.T[..., None]:
        tree = DecisionTreeClassifier(max_leaf_nodes=classes.max() + 1, class_weight="balanced", random_state=seed)
        predicted = tree.fit(latent[train], classes[train]).predict(latent[test])
        accuracies.append(recall_score(classes[test], predicted, labels=np.unique(classes[test]), average="macro"))
    return np.array(accuracies)

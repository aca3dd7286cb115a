"""The mutual information gap of binned codes, as Locatello et al. 2019 (arXiv:1811.12359) define it."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxgen.metrics.factors import as_codes, as_factors, entropies, gaps
from jaxgen.metrics.mutual_information import binned, information_of_classes


class BinnedMIG(NamedTuple):
    """The score in [0, 1], the gap of each factor (k,), and the mutual information (d, k) in nats behind them."""

    score: float
    per_factor: np.ndarray
    mutual_information: np.ndarray


def binned_mig(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> BinnedMIG:
    """Returns how far the latent that knows a factor best leads the next, as a share of the factor's entropy.

    Of codes (n, d), usually the means of q(z|x), and factors (n, k), integers: mean over j of
    (I(z_a; v_j) − I(z_b; v_j)) / H(v_j), with a and b the two best and I that of `mutual_information`. The literature
    draws n = 10,000 and takes all factors but the constant one. A perfect code scores below 1 where a factor has more
    classes than bins: .90 on dSprites. Never compare it with `posterior_mig`, the other definition.

    Raises ValueError for codes that are not finite or of fewer than two latents, for factors that are not integers,
    constant or not as many, and unless bins >= 2.
    """
    codes = as_codes(codes)
    classes = as_factors(factors, len(codes))
    information = information_of_classes(binned(codes, bins), classes)
    per_factor = gaps(information) / entropies(classes)
    return BinnedMIG(float(per_factor.mean()), per_factor, information)

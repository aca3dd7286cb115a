"""Modularity (Ridgeway & Mozer 2018, arXiv:1802.05312)."""

import numpy as np
from jax.typing import ArrayLike

from jaxgen.metrics.mutual_information import mutual_information


def modularity(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> float:
    """Returns how far each latent of codes (n, d) knows about one of the factors (n, k), integers, alone: in [0, 1].

    The mean over latents of 1 − Σ_{j≠a} I(z_i; v_j)² / ((k − 1) I(z_i; v_a)²), a the factor it knows most of, with the
    I of `mutual_information`. A latent that knows exactly nothing counts as 0 (Locatello et al. 2019). Several latents
    may know one factor. What noise seems to know is alike for all factors of as many classes, and scores low.

    Raises ValueError as `mutual_information` does, and for fewer than two factors.
    """
    squared = mutual_information(codes, factors, bins) ** 2
    if squared.shape[1] < 2:
        raise ValueError("modularity compares factors: pass two or more")
    most = squared.max(1)
    others = squared.sum(1) - most
    deviation = np.divide(others, (squared.shape[1] - 1) * most, out=np.ones_like(most), where=most > 0)
    return float(np.mean(1 - deviation))

"""The eigenvalues of the flows at the equilibrium, and the strengths from which remedies are overdamped."""

from typing import NamedTuple

import numpy as np

from experiments.dirac_gan.bisection import bracket
from experiments.dirac_gan.config import Config
from experiments.dirac_gan.variants import NAMES, REMEDIES, field_jacobians
from jaxgen.gan import DiracVariant, dirac_eigenvalues

STRONGEST = 3.0
ROTATES = 1e-6  # an imaginary part that is more than rounding
CRITICAL = {"instance_noise": 2.0, "r1": 1.0, "r1_r2": 0.5}  # σ² or γ at which eigenvalues become real, in theory


class Critical(NamedTuple):
    """The strength at which eigenvalues become real."""

    formula: float
    low: float  # the interval that bisection leaves
    high: float

    @property
    def error(self) -> float:
        """The relative distance of the interval's middle from the formula."""
        return abs((self.low + self.high) / 2 / self.formula - 1)


class Eigenvalues(NamedTuple):
    """Eigenvalues by variant; WGAN-GP has none."""

    measured: dict[DiracVariant, np.ndarray]  # (2,), at the strengths of the portraits
    formula: dict[DiracVariant, np.ndarray]  # (2,)
    error: dict[DiracVariant, float]  # the largest distance from the formula, at these and all strengths below
    strengths: np.ndarray  # (n,), γ or σ²
    slowest: dict[DiracVariant, np.ndarray]  # (n,), the largest real part at each strength, of the remedies
    critical: dict[DiracVariant, Critical]

    @property
    def worst(self) -> float:
        """The largest distance of all."""
        return max(self.error.values())

    @property
    def worst_critical(self) -> float:
        """The largest relative distance of a critical strength from its formula."""
        return max(of.error for of in self.critical.values())


def eigenvalues(config: Config) -> Eigenvalues:
    """Measure the eigenvalues of every variant, and of the remedies at many strengths."""
    grid = STRONGEST * np.arange(1, config.strengths + 1) / config.strengths
    measured, formula, error, slowest = {}, {}, {}, {}
    for variant in NAMES:
        strengths = np.array([config.sigma**2 if variant == "instance_noise" else config.gamma, *grid])
        closed = [dirac_eigenvalues(variant, gamma=float(s), sigma=float(s) ** 0.5) for s in strengths]
        if closed[0] is None:
            continue
        found = np.sort_complex(np.linalg.eigvals(field_jacobians(variant, strengths)))
        measured[variant], formula[variant] = found[0], closed[0]
        error[variant] = max(map(distance, found, closed))
        if variant in REMEDIES:
            slowest[variant] = found[1:].real.max(-1)
    return Eigenvalues(measured, formula, error, grid, slowest, critical_strengths())


def distance(found: np.ndarray, exact: np.ndarray) -> float:
    """The largest distance of two eigenvalues from two others, in the order that makes it small."""
    return float(min(np.abs(found - exact).max(), np.abs(found[::-1] - exact).max()))


def critical_strengths() -> dict[DiracVariant, Critical]:
    """Bisect for the strength from which on the eigenvalues are real."""
    found = {}
    for variant, formula in CRITICAL.items():

        def rotates(strength, variant=variant):
            return np.abs(np.linalg.eigvals(field_jacobians(variant, strength)).imag).max(-1) > ROTATES

        low, high = bracket(rotates, np.array([0.01]), np.array([10.0]))
        found[variant] = Critical(formula, float(low[0]), float(high[0]))
    return found

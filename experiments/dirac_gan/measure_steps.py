"""The eigenvalues of updates by step size, the laws of both orders, and the step sizes up to which updates converge."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.dirac_gan.bisection import bracket
from experiments.dirac_gan.config import Config
from experiments.dirac_gan.measure_eigenvalues import STRONGEST
from experiments.dirac_gan.variants import NAMES, ORDERS, Order, of_strength, spectral_radii, update_jacobians
from jaxgen.gan import DiracVariant, Players, dirac_gan, simultaneous, trajectory

SLOPE = 0.5  # a = f′(0)
LARGEST = 6.0
ROUNDING = 1e-7  # of a modulus of 1, where two eigenvalues meet
CASES: tuple[tuple[DiracVariant, Order], ...] = (
    ("instance_noise", "simultaneous"),
    ("r1", "simultaneous"),
    ("r1", "alternating"),
    ("consensus", "simultaneous"),
)
NEAR, TRIALS, LAST = 1e-6, 600, 50  # start, steps and end of the trajectories that check a critical step size


class Moduli(NamedTuple):
    """The largest modulus of an update's eigenvalues at the equilibrium, by step size."""

    sizes: np.ndarray  # (n,)
    largest: dict[tuple[DiracVariant, Order], np.ndarray]  # (n,)


class StepLaws(NamedTuple):
    """How exactly the unregularised updates obey their laws."""

    growth_error: float  # the largest relative error of r² ← r² (1 + h² f′(θψ)²), simultaneous
    modulus_error: float  # the largest error of |λ|² = 1 + h² a², simultaneous
    circle_error: float  # the largest distance of |λ| from 1 at step sizes up to 4, alternating
    beyond_size: float  # a step size just above 4
    beyond: float  # the largest |λ| there, alternating
    low: float  # the interval in which alternating steps leave the circle
    high: float


class CriticalSizes(NamedTuple):
    """The step sizes below which an update converges, by strength."""

    variant: DiracVariant
    order: Order
    strengths: np.ndarray  # (n,), the grid and then those that are checked
    formula: np.ndarray  # (n,)
    low: np.ndarray  # (n,), the interval that bisection of the largest modulus leaves
    high: np.ndarray  # (n,)
    checked: int  # how many of the last were checked on trajectories
    falls: np.ndarray  # (checked,), whether the radius falls at a step 5 % below the formula
    rises: np.ndarray  # (checked,), whether it rises at one 5 % above

    @property
    def name(self) -> str:
        """The remedy and the order of its steps."""
        return f"{NAMES[self.variant]}, {self.order}"

    @property
    def middle(self) -> np.ndarray:
        """The measured step sizes, (n,)."""
        return (self.low + self.high) / 2

    @property
    def error(self) -> float:
        """The largest relative distance from the formula."""
        return float(np.abs(self.middle / self.formula - 1).max())

    @property
    def confirmed(self) -> bool:
        """Whether all trajectories agree."""
        return bool(self.falls.all() and self.rises.all())


def moduli(config: Config) -> Moduli:
    """Follow the moduli with the step size, at the strengths of the portraits."""
    sizes = LARGEST * np.arange(1, config.step_sizes + 1) / config.step_sizes
    cases = [("unregularised", order) for order in ORDERS] + list(CASES)
    strengths = {"instance_noise": config.sigma**2}
    return Moduli(sizes, {(v, o): spectral_radii(v, o, strengths.get(v, config.gamma), sizes) for v, o in cases})


def step_laws(config: Config) -> StepLaws:
    """Compare unregularised updates with their closed forms."""
    sizes = 4 * np.arange(1, config.step_sizes + 1) / config.step_sizes
    at_once, in_turn = (
        np.abs(np.linalg.eigvals(update_jacobians("unregularised", order, 1.0, sizes))) for order in ORDERS
    )
    beyond_size = 4 + LARGEST / config.step_sizes
    beyond = spectral_radii("unregularised", "alternating", 1.0, np.array([beyond_size]))
    low, high = critical_size("unregularised", "alternating", np.ones(1))
    return StepLaws(
        growth_error=growth_error(config),
        modulus_error=float(np.abs(at_once**2 - (1 + (sizes * SLOPE) ** 2)[:, None]).max()),
        circle_error=float(np.abs(in_turn - 1).max()),
        beyond_size=beyond_size,
        beyond=float(beyond[0]),
        low=float(low[0]),
        high=float(high[0]),
    )


def growth_error(config: Config) -> float:
    """The largest relative error of r² ← r² (1 + h² f′(θψ)²) on a simultaneous trajectory; f′(t) = 1/(1 + e^t)."""
    start = Players(*(jnp.float64(value) for value in config.start))
    update = simultaneous(dirac_gan(), config.step_size)
    theta, psi = map(np.asarray, jax.jit(lambda start: trajectory(update, start, config.shown_steps))(start))
    squared = theta**2 + psi**2
    law = squared * (1 + (config.step_size / (1 + np.exp(theta * psi))) ** 2)
    return float(np.abs(squared[1:] / law[:-1] - 1).max())


def critical_sizes(config: Config) -> list[CriticalSizes]:
    """Bisect for the critical step sizes of every case, and check some of them on trajectories."""
    grid = STRONGEST * np.arange(1, config.strengths + 1) / config.strengths
    strengths, checked = np.concatenate([grid, config.checked]), np.asarray(config.checked)
    found = []
    for variant, order in CASES:
        formula = np.array([critical_formula(variant, order, s) for s in strengths])
        falls, rises = (
            radii_after(variant, order, checked, side * formula[-len(checked) :]) < 1 for side in (0.95, 1.05)
        )
        interval = critical_size(variant, order, strengths)
        found.append(
            CriticalSizes(variant, order, strengths, formula, *interval, len(checked), np.asarray(falls), ~rises)
        )
    return found


def critical_size(variant: DiracVariant, order: Order, strengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The intervals in which the largest modulus passes 1."""

    def stable(sizes):
        return spectral_radii(variant, order, strengths, sizes) <= 1 + ROUNDING

    return bracket(stable, np.full(len(strengths), 1e-3), np.full(len(strengths), 100.0), halvings=30)


def critical_formula(variant: DiracVariant, order: Order, strength: float) -> float:
    """The critical step size in theory; the strength is γ, or σ² for instance noise."""
    match variant, order:
        case "r1", "alternating":
            return min(2 / strength, (np.sqrt(strength**2 + 4 * SLOPE**2) - strength) / SLOPE**2)
        case "r1", "simultaneous":
            return _damped_rotation(strength / 2)
        case "instance_noise", "simultaneous":
            return _damped_rotation(strength / 4)  # −f″(0) σ²
        case "consensus", "simultaneous":
            return 2 * strength / (1 + (strength * SLOPE) ** 2)
    raise ValueError(f"no formula for {variant} with {order} steps")


def _damped_rotation(damping: float) -> float:
    """For eigenvalues −d ± √(d² − a²) and simultaneous steps: 2d/a² where they rotate, else 2/(d + √(d² − a²))."""
    if damping < SLOPE:
        return 2 * damping / SLOPE**2
    return 2 / (damping + np.sqrt(damping**2 - SLOPE**2))


def radii_after(variant: DiracVariant, order: Order, strengths: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The largest radii (n,) at the end of trajectories from near the equilibrium, relative to those at their start."""

    def radius(strength, size):
        near = jnp.float64(NEAR)
        return jnp.hypot(*trajectory(ORDERS[order](of_strength(variant, strength), size), Players(near, near), TRIALS))

    radii = np.asarray(jax.jit(jax.vmap(radius))(*map(jnp.asarray, (strengths, sizes))))
    return radii[:, -LAST:].max(-1) / radii[:, 0]

"""Exact normalisation of energies in the plane, by quadrature."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import check_at_least
from jaxgen.ebm.energy import Energy, energies


class PlaneDensity(NamedTuple):
    """The density e^{−E}/Z on a square of the plane, by the midpoint rule on n × n cells.

    Attributes:
        points: the cells' centres (n, n, 2), row by row from below.
        log_density: log p at the centres (n, n), in nats.
        log_normalizer: log Z of the square, ().
        cell_area: area of a cell, ().
        edge_mass: the mass () in the outermost cells. Where it is not small, the energy has mass beyond the square, or
            is that of no density at all.
    """

    points: Float[Array, "n n 2"]
    log_density: Float[Array, "n n"]
    log_normalizer: Float[Array, ""]
    cell_area: Float[Array, ""]
    edge_mass: Float[Array, ""]

    def kl_from(self, log_density: Callable[[Array], Array]) -> Float[Array, ""]:
        """KL(p ‖ this) in nats of a known density p, over the square.

        Args:
            log_density: log p, from points (B, 2) to (B,), which is normalised on the square.

        Returns:
            The divergence ().
        """
        log_p = log_density(self.points.reshape(-1, 2)).reshape(self.log_density.shape)
        p = jnp.exp(log_p)
        return jnp.sum(jnp.where(p > 0, p * (log_p - self.log_density), 0)) * self.cell_area


def plane_density(energy: Energy, low: float, high: float, *, cells: int = 256, rows: int = 16) -> PlaneDensity:
    """Normalise an energy on the square [low, high]² of the plane.

    The midpoint rule converges faster than any power of the cell's side for smooth densities that vanish at the edge.

    Args:
        energy: E, from (B, 2) to (B,).
        low: the smallest value of both coordinates.
        high: the largest value.
        cells: cells n ≥ 2 along an axis.
        rows: rows ≥ 1 of cells that are evaluated at once.

    Returns:
        The density.

    Raises:
        ValueError: unless low < high, cells ≥ 2 and rows ≥ 1, or if the energy does not return one value per example.
    """
    check_at_least(2, cells=cells)
    check_at_least(1, rows=rows)
    if not low < high:
        raise ValueError(f"need low < high, got {low} and {high}")
    axis = low + (high - low) * (jnp.arange(cells) + 0.5) / cells
    points = jnp.stack(jnp.meshgrid(axis, axis), -1)
    values = -jax.lax.map(lambda row: energies(energy, row), points, batch_size=min(rows, cells))
    area = jnp.asarray(((high - low) / cells) ** 2)
    log_z = jax.nn.logsumexp(values) + jnp.log(area)
    log_density = values - log_z
    inside = jnp.zeros((cells, cells), bool).at[1:-1, 1:-1].set(True)
    edge = jnp.sum(jnp.where(inside, 0, jnp.exp(log_density))) * area
    return PlaneDensity(points, log_density, log_z, area, edge)

"""The score of an energy."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

Score = Callable[[Array], Array]


def score_of_energy(energy: Callable[[Array], Array]) -> Score:
    """The score −∇E of the density e^{−E(x)}/Z, which does not depend on Z (Hyvärinen 2005, §2).

    Args:
        energy: E, a function (B, *event) -> (B,) of each example alone.

    Returns:
        The score (B, *event) -> (B, *event). It raises ValueError if the energy does not return one value per example.
    """

    def score(x: Float[Array, "b *event"]) -> Float[Array, "b *event"]:
        def total(x: Array) -> Array:
            values = energy(x)
            if values.shape != x.shape[:1]:
                raise ValueError(f"the energy must return one value per example, {x.shape[:1]}, got {values.shape}")
            return values.sum()

        return -jax.grad(total)(x)

    return score

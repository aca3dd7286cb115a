"""Energies: functions of a batch that return one number per example, and energies relative to a known distribution."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Float, PyTree

from jaxgen.distributions import Distribution
from jaxgen.mcmc import Chain

Energy = Callable[[Array], Array]
"""x (B, *event) -> E(x) (B,), each example alone. The density is e^{−E(x)}/Z."""

MakeChain = Callable[[Energy], Chain]
"""An energy -> a chain that samples its density, such as `langevin_chain(step_size)`."""


def tilted(energy: Energy, base: Distribution) -> Energy:
    """The energy E(x) − log base(x) of the density ∝ e^{−E(x)} base(x).

    The base confines the density: it is normalisable for any E that is bounded below.

    Args:
        energy: E.
        base: a distribution of known density, such as `distributions.standard_normal()`.

    Returns:
        The energy of the tilted density.

    Reference:
        Pang et al. 2020, "Learning latent space energy-based prior model", eq. 2.
    """
    return lambda x: energy(x) - base.log_density(x)


def energies(energy: Energy, x: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """Evaluate E(x); raise ValueError unless there is one value per example."""
    values = energy(x)
    if values.shape != x.shape[:1]:
        raise ValueError(
            f"an energy must return one value per example, {x.shape[:1]}, got {values.shape}: squeeze the last axis of "
            "a network with one output"
        )
    return values


class Model:
    """An energy with parameters, and with a state if it has one, as spectral normalisation does.

    `energy` is (params, x, *where) -> (B,), or with a state (params, x, *where, state) -> ((B,), state).
    """

    def __init__(self, energy: Callable[..., Any], state: PyTree):
        self._energy, self.carry = energy, {} if state is None else {"energy_state": state}

    def advanced(self, params: PyTree, carried: dict[str, PyTree], x: Array, *where: Array) -> dict[str, PyTree]:
        """The state after one more call on data, as an entry of the carry; no entry without a state."""
        if not self.carry:
            return {}
        _, state = self._energy(params, x, *where, carried["energy_state"])
        return {"energy_state": jax.lax.stop_gradient(state)}

    def at(self, params: PyTree, state: dict[str, PyTree], *where: Array) -> Energy:
        """The energy at these parameters, as a function of x."""
        if not self.carry:
            return lambda x: self._energy(params, x, *where)
        return lambda x: self._energy(params, x, *where, state["energy_state"])[0]

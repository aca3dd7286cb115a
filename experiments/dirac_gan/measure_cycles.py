"""The non-saturating loss: the cycle of its simultaneous steps, and the slow end of its flow."""

from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from experiments.dirac_gan.config import Config
from experiments.dirac_gan.variants import ORDERS
from jaxgen.gan import Players, dirac_variant, gradient_flow, trajectory

STARTS = (0.1, 2.0)  # θ within and without every cycle
LATE = 2000.0  # a time at which r² t is near its limit


class Cycles(NamedTuple):
    """Squared radii r², means of the last tenth of the steps."""

    sizes: np.ndarray  # (n,)
    simultaneous: np.ndarray  # (n, 2), from within and from without
    alternating: np.ndarray  # (n, 2)
    late: float  # r² t of the flow

    @property
    def ratio(self) -> np.ndarray:
        """The simultaneous r² over 2h, (n, 2)."""
        return self.simultaneous / (2 * self.sizes[:, None])

    @property
    def error(self) -> float:
        """The largest relative distance of the simultaneous r² from 2h."""
        return float(np.abs(self.ratio - 1).max())

    @property
    def broken_in_turn(self) -> bool:
        """Whether the alternating r² are all below half of 2h."""
        return bool((self.alternating < self.sizes[:, None]).all())


def cycles(config: Config) -> Cycles:
    """Follow the steps from within and without the cycle, and the flow."""
    field, sizes = dirac_variant("non_saturating"), np.asarray(config.cycle_sizes)
    squared = {}
    for name, order in ORDERS.items():

        def last(size, theta, order=order):
            path = trajectory(order(field, size), Players(theta, jnp.float64(0)), config.cycle_steps)
            return jnp.square(jnp.hypot(*path))[-(config.cycle_steps // 10) :].mean()

        each = jax.jit(jax.vmap(jax.vmap(last, (None, 0)), (0, None)))
        squared[name] = np.asarray(each(jnp.asarray(sizes), jnp.asarray(STARTS, jnp.float64)))
    start = Players(jnp.ones(1, jnp.float64), jnp.zeros(1, jnp.float64))
    controller = diffrax.PIDController(rtol=1e-8, atol=1e-10)
    late = jax.jit(
        lambda start: gradient_flow(field, start, np.array([0, LATE]), controller=controller, max_steps=100_000)
    )
    theta, psi = late(start)
    return Cycles(sizes, **squared, late=float((theta[-1, 0] ** 2 + psi[-1, 0] ** 2) * LATE))

"""Trajectories of every variant: the continuous flow, simultaneous steps and alternating steps, from one start."""

from typing import Literal, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from experiments.dirac_gan.config import Config
from experiments.dirac_gan.variants import NAMES, ORDERS
from experiments.kit.plane import lattice
from jaxgen.gan import DiracVariant, Field, Players, dirac_variant, gradient_flow, trajectory

EXTENT, CELLS = (-2.2, 2.2), 13
METHODS = {"flow": "continuous flow"} | {order: f"{order} steps" for order in ORDERS}  # with their names
GONE = 1e-9  # a radius at which a trajectory has arrived: below it there may be only rounding
CHANGE = 0.05  # relative change of the radius from the middle to the end that is no mere ripple of a cycle

Outcome = Literal["converges", "cycles", "diverges"]


class Portrait(NamedTuple):
    """The vector field of a variant and its three trajectories, in the order of `METHODS`."""

    name: str
    velocity: np.ndarray  # (cells², 2), on the lattice
    paths: np.ndarray  # (steps + 1, 3, 2)

    @property
    def radius(self) -> np.ndarray:
        """The distances to the equilibrium, (steps + 1, 3)."""
        return np.linalg.norm(self.paths, axis=-1)

    @property
    def end(self) -> dict[str, float]:
        """The largest radius in the last tenth, by method."""
        last = self.radius[-(len(self.paths) // 10) :]
        return dict(zip(METHODS, map(float, last.max(0)), strict=True))

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """What becomes of each trajectory, by the largest radii in the tenths before its middle and its end."""
        tenth, half = len(self.paths) // 10, len(self.paths) // 2
        before = self.radius[half - tenth : half].max(0)
        return {name: _outcome(end, then) for (name, end), then in zip(self.end.items(), before, strict=True)}

    def methods(self, *outcomes: Outcome) -> list[str]:
        """The names of the methods that have one of these outcomes."""
        return [METHODS[method] for method, outcome in self.outcomes.items() if outcome in outcomes]

    @property
    def drift(self) -> float:
        """The largest relative change of θ² + ψ² along the flow."""
        squared = self.radius[:, 0] ** 2
        return float(np.abs(squared / squared[0] - 1).max())


def _outcome(end: float, before: float) -> Outcome:
    if end < GONE or end < (1 - CHANGE) * before:
        return "converges"
    return "diverges" if end > (1 + CHANGE) * before else "cycles"


def portraits(config: Config) -> dict[DiracVariant, Portrait]:
    """The portraits of all variants."""
    strengths = {"gamma": config.gamma, "sigma": config.sigma, "target": config.target}
    fields = [dirac_variant(variant, **strengths) for variant in NAMES]

    @jax.jit  # for all variants at once, since the solver takes long to compile
    def draw(variant):
        return draw_field(config, lambda players: jax.lax.switch(variant, fields, players))

    drawn = {variant: draw(i) for i, variant in enumerate(NAMES)}
    return {variant: Portrait(NAMES[variant], *map(np.asarray, of)) for variant, of in drawn.items()}


def draw_field(config: Config, field: Field) -> tuple[jax.Array, jax.Array]:
    """The velocities and the paths of a portrait."""
    start = Players(*(jnp.float64(value) for value in config.start))
    times = config.step_size * np.arange(config.followed_steps + 1)
    controller = diffrax.PIDController(rtol=1e-8, atol=1e-10)
    continuous = gradient_flow(field, jax.tree.map(lambda x: x[None], start), times, controller=controller)
    paths = [jax.tree.map(lambda x: x[:, 0], continuous)]
    for order in ORDERS.values():
        paths.append(trajectory(order(field, config.step_size), start, config.followed_steps))
    velocity = jax.vmap(field)(Players(*jnp.asarray(lattice(EXTENT, CELLS).reshape(-1, 2)).T))
    return jnp.stack(velocity, -1), jnp.stack([jnp.stack(path, -1) for path in paths], 1)

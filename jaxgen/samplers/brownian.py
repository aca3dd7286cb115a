"""Brownian motion for SDE solvers: isotropic noise, and its increments over equal steps."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


class IsotropicNoise(diffrax.AbstractTerm):
    """The term scale(τ) dw with a scalar scale, where diffrax's ControlTerm needs a matrix."""

    scale: Callable[[Array], Array]
    path: diffrax.AbstractBrownianPath

    def vf(self, t: Array, y: Any, args: Any) -> Array:
        """The scale at t."""
        return self.scale(t)

    def contr(self, t0: Array, t1: Array, **kwargs: Any) -> Any:
        """The Brownian increment."""
        return self.path.evaluate(t0, t1, **kwargs)

    def prod(self, vf: Array, control: Any) -> Any:
        """The scale times the increment."""
        return vf * control


class EqualStepNoise(diffrax.AbstractBrownianPath):
    """Independent increments over equal steps, each evaluated as a whole: much cheaper than a Brownian tree.

    The key of an increment is folded with its step's index, so rounding of τ does not change it.
    """

    keys: Array
    length: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    levy_area: Any = eqx.field(static=True)

    @property
    def t0(self) -> float:
        """Start of the path."""
        return 0.0

    @property
    def t1(self) -> float:
        """End of the path: none."""
        return np.inf

    def evaluate(self, t0: Array, t1: Any = None, left: bool = True, use_levy: bool = False) -> Any:
        """The increment over the step from t0 to t1, with its Lévy areas if use_levy."""
        index, dt = jnp.round(t0 / self.length).astype(jnp.int32), t1 - t0

        def normal(key: Array) -> Array:
            keys = jax.random.split(jax.random.fold_in(key, index), 3)
            return jax.vmap(lambda key: jax.random.normal(key, self.shape, dt.dtype))(keys)

        w, h, k = jnp.moveaxis(jnp.sqrt(dt) * jax.vmap(normal)(self.keys), 1, 0)
        if not use_levy:
            return w
        # space-time and space-time-time Lévy areas are independent of w (Foster et al. 2020)
        areas = {"H": h / np.sqrt(12), "K": k / np.sqrt(720)}
        fields = self.levy_area.__dataclass_fields__
        return self.levy_area(dt=dt, W=w, **{name: area for name, area in areas.items() if name in fields})


def levy_area(solver: diffrax.AbstractSolver) -> Any:
    """The simplest kind of Brownian increment that the solver works with."""
    solver = solver.solver if isinstance(solver, diffrax.HalfSolver) else solver
    needed = solver.minimal_levy_area if isinstance(solver, diffrax.AbstractSRK) else diffrax.AbstractBrownianIncrement
    kinds = (diffrax.BrownianIncrement, diffrax.SpaceTimeLevyArea, diffrax.SpaceTimeTimeLevyArea)
    return next(kind for kind in kinds if issubclass(kind, needed))

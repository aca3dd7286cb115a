"""Continuous normalizing flows: the bijection is the solution of an ODE."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import Divergence, exact_divergence, integrate
from jaxgen.flows.bijections import Bijection, as_batch, no_change

Velocity = Callable[[Array, Array], Array]
"""(x (B, *event), t ()) -> dx/dt (B, *event), each example by itself."""


def continuous(
    velocity: Velocity,
    *,
    t0: ArrayLike = 0.0,
    t1: ArrayLike = 1.0,
    divergence: Divergence | None = None,
    **options: Any,
) -> Bijection:
    """The flow of dx/dt = v(x, t): `forward` solves it from t0 to t1, and `inverse` back.

    The log-determinant is ∫ ∇·v dt along the way. Train it by likelihood through `Flow.log_density`. Flow matching
    trains v without solving the ODE. It is diffusion's rectified flow: `diffusion.denoising_loss` with
    `diffusion.rectified_flow()` and predicts="velocity". This function takes the velocity that it learns.

    Args:
        velocity: a network with its parameters, (x (B, *event), t ()) -> (B, *event), each example by itself.
        t0: time of the data.
        t1: time of the latents.
        divergence: as in `diffusion.log_likelihood`: `core.exact_divergence` by default, at d directional derivatives;
            `core.hutchinson(keys, event)` is an unbiased estimate of the log-determinant at one.
        options: of `core.integrate`, such as solver and controller.

    Returns:
        The bijection. It is as exact as the solver's tolerance.

    Raises:
        ValueError: when called, if the velocity has another shape than x, or as `core.integrate` does.
        RuntimeError: as `core.integrate` does.

    Reference:
        Chen et al. 2018, "Neural ordinary differential equations", theorem 1; Grathwohl et al. 2019, "FFJORD", eq. 4.
    """
    divergence = exact_divergence if divergence is None else divergence
    if not isinstance(divergence, jax.tree_util.Partial):
        divergence = jax.tree_util.Partial(divergence)

    def field(t: Array, state: tuple[Array, Array], divergence: Divergence) -> tuple[Array, Array]:
        return divergence(lambda x: _checked(velocity(x, t), x), state[0])

    def solve(x: Float[Array, "b *event"], begin: ArrayLike, end: ArrayLike) -> tuple[Array, Array]:
        x = as_batch(x)
        return integrate(field, (x, no_change(x)), begin, end, args=divergence, **options).y

    return Bijection(lambda x: solve(x, t0, t1), lambda z: solve(z, t1, t0))


def _checked(velocity: Array, x: Array) -> Array:
    if velocity.shape != x.shape:
        raise ValueError(f"the velocity must have the shape of x, {x.shape}, got {velocity.shape}")
    return jnp.asarray(velocity, x.dtype)

"""Langevin dynamics in any score: plain, and annealed over noise levels."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from jaxgen.core import check_at_least, check_not_negative, check_positive, is_traced, noise
from jaxgen.mcmc.chain import Chain
from jaxgen.mcmc.step_sizes import StepSize, check_annealed_step


def langevin(score: Callable[[Array], Array], step_size: ArrayLike | StepSize, noise_scale: float = 1.0) -> Chain:
    """Unadjusted Langevin dynamics; its state is x (B, *event).

        x ← x + (ε/2) score(x) + noise_scale · √ε z,    z ~ N(0, I)

    The chain samples the density as ε → 0. On N(m, v) its variance settles at v/(1 − ε/4v).

    Args:
        score: ∇ log p, from (B, *event) to the same shape.
        step_size: ε > 0, or a function of the score and z that returns it, such as `snr_step_size()`. Papers that
            write ε for ε/2 or for √ε need another number.
        noise_scale: factor ≥ 0 of the noise; 0 climbs to the modes.

    Returns:
        The chain.

    Raises:
        ValueError: if step_size is a Python number that is not positive and finite, or noise_scale is negative or
            infinite.

    Reference:
        Song & Ermon 2019, eq. 4.
    """
    check_not_negative(noise_scale=noise_scale)
    if not callable(step_size):
        check_positive(step_size=step_size)

    def step(keys: Array, x: Array) -> Array:
        z = noise(keys, x.shape[1:], x.dtype)
        gradient = score(x)
        epsilon = step_size(gradient, z) if callable(step_size) else step_size
        return (x + epsilon / 2 * gradient + noise_scale * jnp.sqrt(epsilon) * z).astype(x.dtype)

    return Chain(lambda x: x, step)


class AnnealedState(NamedTuple):
    """Positions (B, *event), and how many steps led to them."""

    x: Float[Array, "b *event"]
    count: Int[Array, ""]


def annealed_langevin(
    score: Callable[[Array, Array], Array], sigmas: Float[ArrayLike, " levels"], step_size: float, steps: int
) -> Chain:
    """Langevin dynamics down a ladder of noise levels, ε_i = ε σ_i²/σ_L²; its state is an `AnnealedState`.

    Beyond the last level it stays there. `run(…, frames=levels, thin=steps)` gives the states at the end of each level.

    Args:
        score: the score (B, *event) of the data under noise of standard deviation σ, from x (B, *event) and σ ().
        sigmas: the noise levels σ_1 > … > σ_L > 0.
        step_size: ε in (0, 4 σ_L²), the step at the last level; see `check_annealed_step`.
        steps: steps ≥ 1 at each level.

    Returns:
        The chain.

    Raises:
        ValueError: unless 0 < step_size < 4 σ_L² and steps ≥ 1; if sigmas are not of shape (L,) with L ≥ 1, or concrete
            sigmas are not positive and strictly descending.

    Reference:
        Song & Ermon 2019, algorithm 1.
    """
    check_at_least(1, steps=steps)
    sigmas = jnp.asarray(sigmas)
    if sigmas.ndim != 1 or not sigmas.size:
        raise ValueError(f"sigmas must have shape (L,) with L >= 1, got {sigmas.shape}")
    if not is_traced(sigmas) and not (np.all(np.diff(sigmas) < 0) and sigmas[-1] > 0):
        raise ValueError(f"sigmas must be positive and descend strictly, got {sigmas}")
    check_annealed_step(step_size, sigmas[-1])

    def step(keys: Array, state: AnnealedState) -> AnnealedState:
        sigma = sigmas[jnp.minimum(state.count // steps, len(sigmas) - 1)]
        chain = langevin(lambda x: score(x, sigma), step_size * (sigma / sigmas[-1]) ** 2)
        return AnnealedState(chain.step(keys, state.x), state.count + 1)

    return Chain(lambda x: AnnealedState(x, jnp.zeros((), jnp.int32)), step)

"""Langevin dynamics in an energy, with the liberties that recipes for images take."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from jaxgen.core import check_not_negative, check_positive
from jaxgen.ebm.energy import Energy, MakeChain
from jaxgen.mcmc import Chain, langevin
from jaxgen.score_matching import score_of_energy


def langevin_chain(
    step_size: ArrayLike,
    *,
    temperature: float | int = 1.0,
    clip_gradient: float | None = None,
    bounds: tuple[float, float] | None = None,
) -> MakeChain:
    """Unadjusted Langevin dynamics in an energy: it samples e^{−E/T}/Z as ε → 0.

        x ← x − (ε/2) ∇E(x) + √(T ε) z,    z ~ N(0, I)

    A recipe that prints a gradient step a and a noise b has ε = 2a and T = b²/2a, such as a temperature of 5e-5 for
    a = 1 and b = .01.

    Args:
        step_size: ε > 0, ().
        temperature: T ≥ 0. Below 1 the chain settles on a sharper density than the model's.
        clip_gradient: bound > 0 on each entry of ∇E, which limits what one step can do.
        bounds: (low, high) to which each entry of x is clipped after a step.

    Returns:
        A function from an energy to the chain, whose state is x (B, *event).

    Raises:
        ValueError: if a concrete step_size or clip_gradient is not positive and finite, temperature is negative or
            infinite, or bounds do not ascend.

    Reference:
        Du & Mordatch 2019, "Implicit generation and modeling with energy-based models", eq. 4, for the clipping.
    """
    check_positive(step_size=step_size, clip_gradient=clip_gradient)
    check_not_negative(temperature=temperature)
    if bounds is not None and not bounds[0] < bounds[1]:
        raise ValueError(f"bounds must be (low, high) with low < high, got {bounds}")

    def make(energy: Energy) -> Chain:
        score = score_of_energy(energy)

        def clipped(x: Array) -> Array:
            return score(x) if clip_gradient is None else jnp.clip(score(x), -clip_gradient, clip_gradient)

        chain = langevin(clipped, step_size, noise_scale=temperature**0.5)
        if bounds is None:
            return chain
        return Chain(chain.init, lambda keys, x: jnp.clip(chain.step(keys, x), *bounds))

    return make

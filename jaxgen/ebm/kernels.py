"""The reverse kernels of recovery likelihood: conditional energies, and Langevin dynamics in them."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen import mcmc
from jaxgen.core import check_positive, per_example
from jaxgen.ebm.energy import Energy
from jaxgen.mcmc import Chain
from jaxgen.score_matching import score_of_energy


def conditional_energy(energy: Energy, x_t: Float[Array, "b *event"], variance: Float[ArrayLike, "..."]) -> Energy:
    """The energy E(y) + ‖y − x_t‖²/2σ² of the reverse kernel p(y | x_t).

    The noisier the condition, the more modes the kernel keeps; as σ → 0 it tends to a Gaussian around x_t.

    Args:
        energy: the energy of y.
        x_t: noisier data (B, *event), x_t = y + σ ε.
        variance: σ² > 0, () or (B,).

    Returns:
        The energy of y (B, *event) given x_t.

    Reference:
        Gao et al. 2021, "Learning energy-based models by diffusion recovery likelihood", eq. 7.
    """
    check_positive(variance=variance)

    def conditional(y: Float[Array, "b *event"]) -> Float[Array, " b"]:
        distance = jnp.sum((y - x_t) ** 2 / per_example(variance, y), axis=tuple(range(1, y.ndim)))
        return energy(y) + distance / 2

    return conditional


def kernel_chain(
    energy: Energy, x_t: Array, variance: Array, step_size: Array, adjusted: bool, noise_scale: float = 1.0
) -> Chain:
    """Langevin dynamics in p(y | x_t), with a step size () or (B,)."""
    conditional = conditional_energy(energy, x_t, variance)
    if adjusted:
        return mcmc.mala(lambda y: -conditional(y), step_size)
    return mcmc.langevin(score_of_energy(conditional), per_example(step_size, x_t).astype(x_t.dtype), noise_scale)

"""Steps of Langevin dynamics: by a signal-to-noise ratio, and the largest of an annealed chain."""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from jaxgen.core import check_choice, check_positive, is_traced, per_example, safe_divide

Norms = Literal["sample", "batch"]
StepSize = Callable[[Array, Array], ArrayLike]  # (score, z) -> ε, each (B, *event), to () or (B, 1, …)


def snr_step_size(snr: float = 0.16, norms: Norms = "sample") -> StepSize:
    """Steps sized so that ‖(ε/2)·score‖ = snr · ‖√ε z‖: ε = 4 (snr ‖z‖/‖score‖)².

    The step depends on z and the score, which biases the chain: with r = snr the variance of N(m, v I) in d dimensions
    settles at v (1 + r² + 4/d), without 4/d for batch norms.

    Args:
        snr: signal-to-noise ratio r > 0; about .16 for images.
        norms: "sample" takes the norms of each sample. "batch" takes their means over the batch, as the reference
            does, which makes a sample depend on the others.

    Returns:
        A function of the score and z, both (B, *event), that returns ε of shape (B, 1, …), or () for batch norms.

    Raises:
        ValueError: if snr is not positive and finite, or norms is unknown.

    Reference:
        Song et al. 2021, algorithms 4 and 5, whose ε is half of this one.
    """
    check_positive(snr=snr)
    check_choice(Norms, norms=norms)

    def step_size(gradient: Array, z: Array) -> Array:
        lengths = [jnp.sqrt(jnp.sum(v**2, axis=tuple(range(1, v.ndim)))) for v in (z, gradient)]
        z_norm, gradient_norm = lengths if norms == "sample" else [length.mean() for length in lengths]
        return per_example(4 * (snr * safe_divide(z_norm, gradient_norm)) ** 2, z)

    return step_size


def check_annealed_step(step_size: ArrayLike, sigma_last: ArrayLike) -> None:
    """Check that annealed Langevin dynamics is stable at every level: 0 < ε < 4 σ_L².

    Where all data lie at one point, the score is that of N(m, σ_i² I), and a step multiplies the distance from m by
    1 − ε_i/2σ_i² = 1 − ε/2σ_L², at every level alike. From ε = 4 σ_L² on the distance grows, to NaN in the end, and
    so it does at every level much wider than the data. Below, no step overshoots so far, whatever the data, since the
    curvature of a density smoothed with σ_i is at most 1/σ_i².

    Args:
        step_size: ε, the step at the last level.
        sigma_last: σ_L, the last level. Traced values pass, because they are not known.

    Raises:
        ValueError: if either is not positive and finite, or ε ≥ 4 σ_L².
    """
    check_positive(step_size=step_size, sigma_last=sigma_last)
    if not is_traced(step_size, sigma_last) and step_size >= 4 * sigma_last**2:
        raise ValueError(
            f"step_size={step_size} makes levels wider than the data diverge: it must be below 4 sigma_last² = "
            f"{4 * sigma_last**2:.3g}, as diffusion.ncsn.step_size(…) is"
        )

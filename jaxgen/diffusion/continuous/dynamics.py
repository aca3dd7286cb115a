"""The probability-flow ODE and the reverse SDE of a denoiser, as plain vector fields in t."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import per_example
from jaxgen.diffusion.denoisers._denoiser import Denoiser
from jaxgen.diffusion.denoisers.prediction import Prediction
from jaxgen.diffusion.processes.kernels import sde_coefficients
from jaxgen.diffusion.processes.process import GaussianProcess, alpha_sigma_derivatives


def flow(process: GaussianProcess, prediction: Prediction, t: ArrayLike) -> Float[Array, "b *event"]:
    """dx/dt = alpha' x̂0 + sigma' ε̂ of the probability-flow ODE, given what a denoiser said at t, () or (B,).

    Equal to f x − ½ g² score (Song et al. 2021, eq. 13) and finite where f and g² are not (alpha = 0); infinite only
    where sigma' is (t = 0 of vp and cosine). Raises ValueError for a discrete process.
    """
    alpha_rate, sigma_rate = alpha_sigma_derivatives(process, t)
    x0, eps, _ = prediction
    return per_example(alpha_rate, x0) * x0 + per_example(sigma_rate, eps) * eps


def probability_flow(
    process: GaussianProcess, denoise: Denoiser, x: Float[Array, "b *event"], t: ArrayLike
) -> Float[Array, "b *event"]:
    """dx/dt of the ODE whose solutions have the process's marginals at every t (Song et al. 2021, eq. 13).

    One network call. Raises ValueError for a discrete process.
    """
    return flow(process, denoise(x, t), t)


class ReverseSDE(NamedTuple):
    """Coefficients of dx = drift dt + diffusion dw̄, with time running from 1 to 0."""

    drift: Float[Array, "b *event"]
    diffusion: Float[Array, "..."]


def reverse_sde(
    process: GaussianProcess, denoise: Denoiser, x: Float[Array, "b *event"], t: ArrayLike, eta: ArrayLike = 1.0
) -> ReverseSDE:
    """dx = [f x − ½(1 + η²) g² score] dt + η g dw̄, of the process's marginals at every eta η ≥ 0.

    η = 1 is the reverse SDE (Anderson 1982; Song et al. 2021, eq. 6), η = 0 the probability-flow ODE
    (Huang et al. 2021, eq. 15; Karras et al. 2022, eq. 6). One network call; `diffusion` has the shape of t.
    Infinite where alpha = 0 (cosine, rectified flow at t = 1): begin below 1 there.
    Raises ValueError for a discrete process.
    """
    prediction = denoise(x, t)
    variance = eta**2 * sde_coefficients(process, t).diffusion_squared
    drift = flow(process, prediction, t) + per_example(variance / (2 * process.sigma(t)), x) * prediction.eps
    return ReverseSDE(drift, jnp.sqrt(variance))


def check_finite_velocity(process: GaussianProcess, t_min: ArrayLike, t_max: ArrayLike) -> None:
    """Raise ValueError unless 0 ≤ t_min < t_max ≤ 1 and the ODE's velocity is finite at both; traced values pass."""
    if any(isinstance(t, jax.core.Tracer) for t in (t_min, t_max)):
        return
    if not 0 <= t_min < t_max <= 1:
        raise ValueError(f"need 0 <= t_min < t_max <= 1 (0 clean data, 1 the prior), got {t_min} and {t_max}")
    for t in (t_min, t_max):
        with jax.ensure_compile_time_eval():
            slopes = alpha_sigma_derivatives(process, t)
        if not any(isinstance(slope, jax.core.Tracer) for slope in slopes) and not np.all(np.isfinite(slopes)):
            raise ValueError(
                f"the velocity of {type(process).__name__} is infinite at t={t}: keep away, e.g. t_min=1e-5"
            )

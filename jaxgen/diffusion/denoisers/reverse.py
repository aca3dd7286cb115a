"""The model's reverse kernels p_θ(x_s | x_t) and p_θ(x0 | x_t), and the choices of their variance."""

from typing import Literal, get_args

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import per_example
from jaxgen.diffusion.denoisers.prediction import Prediction
from jaxgen.diffusion.processes.kernels import posterior_coefficients, transition
from jaxgen.diffusion.processes.process import GaussianProcess
from jaxgen.distributions import Gaussian

Variance = Literal["fixed_small", "fixed_large", "learned"]


def check_variance(variance: str) -> None:
    """Raise ValueError for a choice of variance that does not exist."""
    if variance not in get_args(Variance):
        raise ValueError(f"unknown variance {variance!r}: choose one of {', '.join(get_args(Variance))}")


def reverse_kernel(
    process: GaussianProcess,
    prediction: Prediction,
    x_t: Float[Array, "b *event"],
    s: ArrayLike,
    t: ArrayLike,
    variance: Variance = "fixed_small",
) -> Gaussian:
    """p_θ(x_s | x_t) = N(μ̃(x_t, x̂0), variance), with s ≤ t of shape () or (B,) (Ho et al. 2020, §3.2).

    variance: "fixed_small" is the posterior's β̃, "fixed_large" is β = sigma²_{t|s}, "learned" lies between them in logs by the
    prediction's `variance_interpolation` (Nichol & Dhariwal 2021, eq. 15). The step to s = 0 takes β̃,
    which is 0 for a process that starts clean.
    Raises ValueError for another variance, "learned" without a fraction, and concrete times outside [0, 1] or s > t.
    """
    coef_xt, coef_x0, small = (per_example(c, x_t) for c in posterior_coefficients(process, s, t))
    large = per_example(transition(process, s, t).variance, x_t)
    chosen = jnp.where(per_example(s, x_t) > 0, _between(variance, small, large, prediction), small)
    return Gaussian(coef_xt * x_t + coef_x0 * prediction.x0, jnp.sqrt(chosen))


def final_kernel(
    process: GaussianProcess, prediction: Prediction, t: ArrayLike, after: ArrayLike, variance: Variance = "fixed_small"
) -> Gaussian:
    """p_θ(x0 | x_t) = N(x̂0, variance) for the cleanest time t > 0 of a grid and the next one `after` it, each ().

    Its own β̃ would be 0, so "fixed_small" is that of the step from `after` to t; "fixed_large" is sigma_t² (β_1 of a DDPM), and
    "learned" lies between them in logs: the ends that Nichol & Dhariwal's code has for its learned range. Their fixed
    "fixed_large" takes the "fixed_small" of this one step. Raises ValueError as `reverse_kernel` does.
    """
    small = posterior_coefficients(process, t, after).variance
    return Gaussian(prediction.x0, jnp.sqrt(_between(variance, small, process.variance(t), prediction)))


def _between(variance: Variance, small: Array, large: Array, prediction: Prediction) -> Array:
    check_variance(variance)
    if variance != "learned":
        return small if variance == "fixed_small" else large
    if prediction.variance_interpolation is None:
        raise ValueError("variance='learned' needs a denoiser made with learned_variance=True")
    # the tiny floor is for s = 0, where `small` is taken as it is
    low, high = jnp.log(jnp.maximum(small, 1e-30)), jnp.log(large)
    return jnp.exp(low + prediction.variance_interpolation * (high - low))

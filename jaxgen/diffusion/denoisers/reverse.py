"""The model's reverse kernels p_θ(x_s | x_t) and p_θ(x0 | x_t), and the choices of their variance."""

from typing import Literal

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_choice, per_example
from jaxgen.diffusion.denoisers.prediction import Prediction
from jaxgen.diffusion.processes.kernels import posterior_coefficients, transition
from jaxgen.diffusion.processes.process import GaussianProcess
from jaxgen.distributions import Gaussian

Variance = Literal["fixed_small", "fixed_large", "learned"]


def check_variance(variance: str) -> None:
    """Check the name of a choice of variance.

    Args:
        variance: the name.

    Raises:
        ValueError: if it is not "fixed_small", "fixed_large" or "learned".
    """
    check_choice(Variance, variance=variance)


def reverse_kernel(
    process: GaussianProcess,
    prediction: Prediction,
    x_t: Float[Array, "b *event"],
    s: ArrayLike,
    t: ArrayLike,
    variance: Variance = "fixed_small",
) -> Gaussian:
    """The reverse kernel p_θ(x_s | x_t) = N(μ̃(x_t, x̂0), variance).

    At s = 0 every choice of variance gives β̃, which is 0 for a process with sigma(0) = 0.

    Args:
        process: the Gaussian process.
        prediction: what the denoiser predicts at x_t.
        x_t: state (B, *event) at t.
        s: earlier time, s ≤ t, () or (B,).
        t: time in [0, 1], () or (B,).
        variance: "fixed_small" is the posterior's β̃, "fixed_large" is β = sigma²_{t|s}, and "learned" interpolates
            their logarithms with the prediction's `variance_interpolation`.

    Returns:
        The Gaussian of x_s.

    Raises:
        ValueError: if variance is unknown, variance is "learned" for a denoiser without a learned variance, or concrete
            times are outside [0, 1] or have s > t.

    Reference:
        Ho et al. 2020, §3.2; Nichol & Dhariwal 2021, eq. 15.
    """
    coef_xt, coef_x0, small = (per_example(c, x_t) for c in posterior_coefficients(process, s, t))
    large = per_example(transition(process, s, t).variance, x_t)
    chosen = jnp.where(per_example(s, x_t) > 0, _between(variance, small, large, prediction), small)
    return Gaussian(coef_xt * x_t + coef_x0 * prediction.x0, jnp.sqrt(chosen))


def final_kernel(
    process: GaussianProcess, prediction: Prediction, t: ArrayLike, after: ArrayLike, variance: Variance = "fixed_small"
) -> Gaussian:
    """The last reverse kernel p_θ(x0 | x_t) = N(x̂0, variance), as the decoder term of the bound uses it.

    The posterior's β̃ of this step is 0. "fixed_small" is therefore β̃ of the step from `after` to t, and "fixed_large"
    is sigma_t², which is β_1 of a DDPM. "learned" interpolates between these two, as Nichol & Dhariwal's code does.
    Their code takes "fixed_small" for this step also when the variance is fixed and large.

    Args:
        process: the Gaussian process.
        prediction: what the denoiser predicts at x_t.
        t: the cleanest time t > 0 of the grid, ().
        after: the next noisier time of the grid, ().
        variance: as in `reverse_kernel`.

    Returns:
        The Gaussian of x0.

    Raises:
        ValueError: as `reverse_kernel` does.
    """
    small = posterior_coefficients(process, t, after).variance
    return Gaussian(prediction.x0, jnp.sqrt(_between(variance, small, process.variance(t), prediction)))


def _between(variance: Variance, small: Array, large: Array, prediction: Prediction) -> Array:
    check_variance(variance)
    if variance != "learned":
        return small if variance == "fixed_small" else large
    if prediction.variance_interpolation is None:
        raise ValueError("variance='learned' needs a denoiser made with learned_variance=True")
    # the floor keeps the logarithm finite at s = 0, where the caller takes `small` itself
    low, high = jnp.log(jnp.maximum(small, 1e-30)), jnp.log(large)
    return jnp.exp(low + prediction.variance_interpolation * (high - low))

"""EDM's preconditioning of a network."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import check_positive, per_example
from jaxgen.diffusion.denoisers._denoiser import Network
from jaxgen.diffusion.processes.process import GaussianProcess


def edm_preconditioning(process: GaussianProcess, network: Network, sigma_data: float = 0.5) -> Network:
    """Wrap a raw network F into one that predicts x0 = c_skip x + c_out F(c_in x, c_noise, cond).

    The coefficients are EDM's at noise level σ̃ = sigma/alpha and state x/alpha, so any process can be used. They are
    finite where alpha = 0 or sigma = 0.

    Args:
        process: the Gaussian process.
        network: F, whose time argument is c_noise = ln(σ̃)/4, clipped to [−10, 10].
        sigma_data: standard deviation of the data, positive.

    Returns:
        A network to use with `predicts="x0"`; losses and denoisers refuse it with another value.

    Raises:
        ValueError: if sigma_data is not positive and finite.

    Reference:
        Karras et al. 2022, eq. 7 and table 1.
    """
    check_positive(sigma_data=sigma_data)

    def predict_x0(x: Float[Array, "b *event"], t: Float[Array, " b"], cond: Any) -> Float[Array, "b *event"]:
        alpha, sigma = per_example(process.alpha(t), x), per_example(process.sigma(t), x)
        norm = jnp.sqrt(sigma**2 + (alpha * sigma_data) ** 2)
        c_noise = jnp.clip(-process.log_snr(t) / 8, -10, 10)
        output = network(x / norm, c_noise, cond)
        return alpha * (sigma_data / norm) ** 2 * x + sigma * sigma_data / norm * output

    predict_x0.predicts = "x0"
    return predict_x0

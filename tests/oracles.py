"""Exact answers that the tests hold the library against."""

import jax.numpy as jnp
import numpy as np

from jaxgen.diffusion import (
    Prediction,
    cosine,
    cosine_betas,
    discrete,
    edm,
    linear_betas,
    rectified_flow,
    sub_vp,
    ve,
    vp,
    zero_terminal_snr,
)

CONTINUOUS = {
    "vp": vp(),
    "sub_vp": sub_vp(),
    "ve": ve(),
    "cosine": cosine(),
    "edm": edm(),
    "rectified_flow": rectified_flow(),
}
DISCRETE = {
    "linear": discrete(linear_betas(1000)),
    "cosine_table": discrete(cosine_betas(50)),
    "zero_snr": discrete(zero_terminal_snr(linear_betas(200))),
}
PROCESSES = CONTINUOUS | DISCRETE


def snap(process, t):
    """t itself, or the nearest step of a discrete process."""
    return t if process.steps is None else np.round(np.asarray(t) * process.steps) / process.steps


def gaussian_denoiser(process, mean, std):
    """The exact denoiser of data N(mean, std² I): E[x0 | x_t] and E[eps | x_t]."""

    def denoise(x, t, cond=None):
        t = jnp.broadcast_to(t, x.shape[:1]).reshape((-1,) + (1,) * (x.ndim - 1))
        alpha, sigma = process.alpha(t), process.sigma(t)
        whitened = (x - alpha * mean) / (alpha**2 * std**2 + sigma**2)
        return Prediction(mean + alpha * std**2 * whitened, sigma * whitened)

    return denoise

"""Denoising losses, one value per example: the mean is the trainer's."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.diffusion.denoiser import Network
from jaxgen.diffusion.kernel import perturb
from jaxgen.diffusion.prediction import Kind, eps_error_ratio, target
from jaxgen.diffusion.process import GaussianProcess
from jaxgen.diffusion.times import TimeSampler, uniform
from jaxgen.diffusion.weighting import Weighting


def denoising_loss(
    key: Key[Array, ""],
    process: GaussianProcess,
    network: Network,
    x0: Float[Array, "b *event"],
    *,
    cond: Any = None,
    predicts: Kind = "eps",
    weighting: Weighting | None = None,
    times: TimeSampler | None = None,
) -> Float[Array, " b"]:
    """Weighted squared error of a network at random times, averaged over the event (Ho et al. 2020, eq. 14).

    weighting: None for the plain error of the network's own output, else a weight on the error in eps, which is carried
    over to that output; log-SNR is held to ±40 for it. times: (key, B) -> (B,), by default uniform over the process's.
    Raises ValueError for an unknown kind, an output of another shape, or velocity on a discrete process.
    """
    time_key, noise_key = jax.random.split(key)
    t = (times or uniform(process.steps))(time_key, x0.shape[0])
    eps = jax.random.normal(noise_key, x0.shape, jnp.promote_types(x0.dtype, jnp.float32))
    wanted = target(process, predicts, x0, eps, t).astype(eps.dtype)
    output = network(perturb(process, x0, t, eps).astype(eps.dtype), t, cond)
    if output.shape != wanted.shape:
        raise ValueError(f"the network must return x's shape {wanted.shape}, got {output.shape}")
    error = ((output - wanted) ** 2).reshape(x0.shape[0], -1).mean(-1)
    if weighting is None:
        return error
    return weighting(jnp.clip(process.log_snr(t), -40, 40)) * eps_error_ratio(process, predicts, t) * error

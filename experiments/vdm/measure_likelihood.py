"""Bits per dimension by the probability-flow ODE and by general compressors."""

import io
import lzma
import math
from functools import partial
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from experiments.vdm.measure_bound import Draws
from experiments.vdm.train import Model, Objective
from jaxgen.core import hutchinson
from jaxgen.data import to_uint8
from jaxgen.diffusion import denoiser, log_likelihood, perturb
from jaxgen.distributions import Gaussian
from jaxgen.metrics import MeanAndError, bits_per_dim, mean_and_error


class Ode(NamedTuple):
    """Bits/dim of each image by the density of the ODE, their mean reconstruction term, and the network calls."""

    bits: np.ndarray  # (n,)
    reconstruction: float
    calls: int


class Bits(NamedTuple):
    """Bits/dim of one model: means of the bound's terms, the bound of each image, and those by the ODE."""

    prior: float
    diffusion: float
    reconstruction: float
    bound: np.ndarray  # (images,)
    ode: Ode
    mean: MeanAndError  # of the bound
    ode_mean: MeanAndError
    ode_above: MeanAndError  # ODE minus bound, of the ODE's images


def bits_of(draws: Draws, ode: Ode) -> Bits:
    """Gather the bits of a model; the ODE's images are the first of the bound's."""
    terms = (float(term.mean()) for term in (draws.prior, draws.diffusion, draws.reconstruction))
    total = draws.total
    above = ode.bits - total[: len(ode.bits)]
    return Bits(*terms, total, ode, mean_and_error(total), mean_and_error(ode.bits), mean_and_error(above))


def ode_bits(objective: Objective, model: Model, images: np.ndarray, seed: int) -> Ode:
    """−log₂ of p(z_0) p(x|z_0)/q(z_0|x) per dimension, with p(z_0) the density of the probability-flow ODE."""
    x0 = jnp.asarray(images)
    eps_key, probe_key = jax.random.split(jax.random.key(seed + 6))
    eps, keys = jax.random.normal(eps_key, x0.shape), jax.random.split(probe_key, len(x0))
    log_ratio, log_p, calls = _ode_terms(objective, model.process, model.params, x0, eps, keys)
    dims = x0[0].size
    return Ode(bits_per_dim(log_ratio + log_p, dims), float(bits_per_dim(log_p, dims).mean()), int(calls))


@partial(jax.jit, static_argnums=0)
def _ode_terms(objective, process, params, x0, eps, keys):
    """log p(z_0)/q(z_0|x) and log p(x|z_0), each (b,), in nats, and the network calls."""
    z = perturb(process, x0, 0.0, eps)
    denoise, divergence = denoiser(process, objective.network(process, params)), hutchinson(keys, x0.shape[1:])
    controller = diffrax.PIDController(rtol=1e-4, atol=1e-4)
    found = log_likelihood(process, denoise, z, divergence=divergence, t_min=0.0, controller=controller)
    alpha, sigma = process.alpha(0.0), process.sigma(0.0)
    log_q = (-0.5 * (eps**2 + math.log(2 * math.pi)) - jnp.log(sigma)).reshape(len(x0), -1).sum(-1)
    log_p = objective.likelihood(x0, Gaussian(z / alpha, sigma / alpha))
    return found.log_density - log_q, log_p, found.evaluations


class Compressors(NamedTuple):
    """Bits per dimension of general compressors, with their file headers."""

    png: float  # each image by itself
    lzma: float  # all images in one file


def compressors(images: np.ndarray) -> Compressors:
    """Compress images (n, h, w, c) in [−1, 1]: PNG the first 200, LZMA all."""
    pixels = to_uint8(images)

    def png(image: np.ndarray) -> int:
        file = io.BytesIO()
        Image.fromarray(image.squeeze()).save(file, "PNG", optimize=True)
        return len(file.getvalue())

    return Compressors(
        float(np.mean([png(image) for image in pixels[:200]])) * 8 / pixels[0].size,
        len(lzma.compress(pixels.tobytes(), preset=9)) * 8 / pixels.size,
    )

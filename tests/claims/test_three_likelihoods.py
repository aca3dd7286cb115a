"""One model's likelihood by its discrete bound, its continuous bound and its ODE, all in the same bits."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_theory import MEAN, STD, Theory, data
from oracles import gaussian_denoiser
from scipy.stats import norm

from jaxgen.data import dequantise
from jaxgen.diffusion import Prediction, linear_log_snr, log_likelihood, uniform_grid, variational_bound, vdm_bound, vp
from jaxgen.distributions import likelihoods
from jaxgen.metrics import bits_per_dim, dequantisation_offset, mean_and_error

DIMS = 2


def keys_of(n):
    return jax.random.split(jax.random.key(0), n)


def bounds(process, denoise, x0, grid, t_min, make):
    """Bits (n,) by the chain of a grid, its variance β or as the denoiser says, and by continuous time."""

    @jax.jit
    def run(x0):
        chain = {"grid": grid, "likelihood": make()}
        found = {
            v: variational_bound(keys_of(len(x0)), process, denoise, x0, variance=v, **chain).total
            for v in ("fixed_large", "learned")
        }
        eps = lambda x, t, cond: denoise(x, t).eps
        return found | {
            "continuous": vdm_bound(jax.random.key(1), process, eps, x0, t_min=t_min, likelihood=make()).total
        }

    return {name: bits_per_dim(-np.float64(nats), DIMS) for name, nats in run(x0).items()}


def with_fractions(denoise, grid, fractions):
    def learned(x, t, cond=None):
        fraction = jnp.interp(jnp.broadcast_to(t, x.shape[:1]), grid[-2::-1], fractions[::-1])
        return Prediction(*denoise(x, t)[:2], jnp.broadcast_to(fraction[:, None], x.shape))

    return learned


@pytest.mark.slow
def test_c1_3_c2_6_c3_11_on_known_data_the_ode_is_exact_and_the_bounds_lie_above_by_their_gaps():
    """Paired with the exact −log₂ p of the same draws; every gap is known in closed form."""
    n, grid, t_min, process = 20_000, uniform_grid(16), 0.1, vp()
    x0, theory, denoise = data(n, (DIMS,)), Theory(process, grid), gaussian_denoiser(process, MEAN, STD)
    exact = bits_per_dim(norm.logpdf(np.float64(x0), MEAN, STD).sum(1), DIMS)
    found = bounds(process, with_fractions(denoise, grid, theory.fractions()), x0, grid, t_min, likelihoods.gaussian)
    entropy = 0.5 * math.log(2 * math.pi * math.e * STD**2)
    gaps = {
        "fixed_large": theory.total("fixed_large") - entropy,
        "learned": theory.mismatch,
        "continuous": 0.5 * math.log1p(np.exp(-process.log_snr(t_min)) / STD**2) + theory.mismatch,
    }
    for name, bits in found.items():
        mean, error = mean_and_error(bits - exact)
        gap = gaps[name] / math.log(2)
        assert error < 0.02, name
        assert abs(mean - gap) < 4 * error, name
        if name != "learned":  # whose gap is that of the prior alone, 1e-5
            assert mean > 5 * error, name
    ode = jax.jit(lambda x0: log_likelihood(process, denoise, x0))(x0[:500])
    # the prior is a little off q_1
    alpha, sigma = float(process.alpha(1.0)), float(process.sigma(1.0))
    last = norm.logpdf(ode.latent, alpha * MEAN, np.hypot(alpha * STD, sigma)) - norm.logpdf(ode.latent)
    np.testing.assert_allclose(bits_per_dim(ode.log_density + last.sum(1), DIMS), exact[:500], atol=1e-3)


@pytest.mark.slow
def test_c1_3_c2_6_c3_11_on_levels_all_are_bits_of_the_integers():
    """Decoders need no offset, the dequantised density takes `dequantisation_offset`: none is below the entropy."""
    n, std, process, grid = 40_000, 0.2, linear_log_snr(), uniform_grid(100)
    levels = np.linspace(-1, 1, 256)
    weights = np.exp(-((levels - MEAN) ** 2) / (2 * std**2))
    weights /= weights.sum()
    index = np.random.default_rng(0).choice(256, (n, DIMS), p=weights)
    own = -np.log2(weights[index]).mean(1)  # whose mean is the entropy
    denoise = gaussian_denoiser(process, MEAN, std)
    theory = Theory(process, grid, std)
    learned = with_fractions(denoise, grid, theory.fractions())
    found = bounds(
        process, learned, jnp.asarray(levels[index], jnp.float32), grid, 0.0, likelihoods.discretised_gaussian
    )
    y = dequantise(keys_of(1000), jnp.asarray(index[:1000], jnp.uint8))
    ode = jax.jit(lambda y: log_likelihood(process, denoise, y, t_min=0.0).log_density)(y)
    found["ode"] = bits_per_dim(ode, DIMS, dequantisation_offset())
    # a chain that does not know of levels codes z_0 more finely than they lie, by log₂ of their distance over √(2πe v)
    noise = np.exp(-process.log_snr(np.array([0.0, grid[-2]])) / 2)
    finer = np.log2(2 / 255 / (np.sqrt(2 * np.pi * np.e) * noise))
    coarse = (theory.transitions("fixed_large") - theory.transitions("learned")).sum() / math.log(2)
    expected = {"continuous": finer[0], "fixed_large": finer[1] + coarse, "learned": finer[1], "ode": 0.0}
    for name, bits in found.items():
        mean, error = mean_and_error(bits - own[: len(bits)])
        assert error < 0.06, name
        assert mean > 0, name
        assert abs(mean - expected[name]) < 4 * error + 0.1, name

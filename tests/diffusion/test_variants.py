"""Schedules, kernels, denoisers and losses give the same numbers eagerly, jitted and under pmap."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import PROCESSES, nightly

from jaxgen import diffusion
from jaxgen.diffusion import denoising_loss, target, to_x0_eps, transition, weighting

S, T = jnp.array([0.2, 0.4, 0.5]), jnp.array([0.4, 0.8, 1.0])
X0, EPS = map(jnp.asarray, np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32))


def everything(process):
    network = lambda x, t, cond: x * t[:, None]
    loss = lambda predicts, weight: denoising_loss(
        jax.random.key(0), process, network, X0, predicts=predicts, weighting=weight
    )
    found = {
        "schedule": (process.alpha(T), process.sigma(T), process.log_snr(S), process.time_at_log_snr(S - 0.4)),
        "forward": (diffusion.marginal(process, X0, T), diffusion.perturb(process, X0, T, EPS)),
        "kernels": (transition(process, S, T), diffusion.posterior(process, X0, EPS, S, T)),
        "v": (target(process, "v", X0, EPS, T), to_x0_eps(process, "v", X0, EPS, T)[:2]),
        "denoiser": diffusion.denoiser(process, network, clip=1.0)(X0, S)[:2],
        "edm": diffusion.edm_preconditioning(process, network)(X0, S, None),
        "loss": (loss("eps", weighting.simple()), loss("x0", weighting.edm()), loss("v", weighting.min_snr())),
    }
    if process.steps is None:
        weights = weighting.likelihood(process)(S), weighting.sigmoid(process)(S)
        found["continuous"] = diffusion.sde_coefficients(process, S), weights, loss("velocity", None)
    return found


@nightly("name", PROCESSES)
def test_jitted_as_eager(name):
    process = PROCESSES[name]
    chex.assert_trees_all_close(jax.jit(everything)(process), everything(process), rtol=2e-5, atol=1e-6)


@pytest.mark.slow
def test_eight_devices_as_one():
    assert jax.device_count() == 8
    process = PROCESSES["vp"]
    found = jax.pmap(lambda process, _: everything(process), in_axes=(None, 0))(process, jnp.arange(8))
    expected = jax.jit(everything)(process)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, np.broadcast_to(theirs, (8, *theirs.shape)), rtol=2e-5, atol=1e-6)

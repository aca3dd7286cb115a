"""Claim of S3: the probability-flow ODE has the SDE's marginals, an exact likelihood and a unique encoding."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import CONTINUOUS, Mixture, nightly
from scipy.stats import ks_2samp

from jaxgen.diffusion import perturb
from jaxgen.samplers import ode_decode, ode_encode, sample_ode, sample_sde

MIXTURE = Mixture()
TIGHT = diffrax.PIDController(rtol=1e-7, atol=1e-7)


@nightly("name", ["vp", "ve", "sub_vp", "cosine", "rectified_flow"])
def test_c3_11_ode_and_sde_share_their_marginals(name):
    """At each t the ODE, the reverse SDE and q_t itself give samples of one law (Kolmogorov–Smirnov)."""
    process, n = CONTINUOUS[name], 3000
    denoise = MIXTURE.denoiser(process)
    keys = jax.random.split(jax.random.key(0), n)
    data = MIXTURE.sample(jax.random.key(1), n)

    @jax.jit
    def solved(t):
        ode = sample_ode(keys, process, denoise, (1,), t_min=t)
        options = {"t_min": t, "t_max": 0.999, "steps": 200, "solver": diffrax.Heun()}
        sde = [sample_sde(keys, process, denoise, (1,), eta=eta, **options) for eta in (1.0, 0.3)]
        return [found.x[:, 0] for found in (ode, *sde)]

    for t in (0.05, 0.25, 0.6):
        exact = perturb(process, data, t, jax.random.normal(jax.random.key(2), data.shape))[:, 0]
        for found in solved(t):
            assert ks_2samp(found, exact).pvalue > 1e-3
    assert ks_2samp(solved(0.05)[0], solved(0.6)[0]).pvalue < 1e-3  # the test can tell laws apart


@pytest.mark.slow
def test_c3_11_the_encoding_is_unique_and_invertible():
    """One code per datum, whatever solver finds it, and one datum per code; two SDE runs from a code differ."""
    process = CONTINUOUS["vp"]
    denoise = MIXTURE.denoiser(process)
    with jax.enable_x64(True):
        x = jnp.linspace(-1.5, 1.3, 6)[:, None]
        codes = [
            ode_encode(process, denoise, x, controller=TIGHT, solver=solver).x
            for solver in (diffrax.Dopri5(), diffrax.Dopri8())
        ]
        np.testing.assert_allclose(codes[1], codes[0], atol=1e-5)
        np.testing.assert_allclose(ode_decode(process, denoise, codes[0], controller=TIGHT).x, x, atol=1e-5)
    # unlike the ODE's, the SDE's answer is not a function of where it starts: η = 0 is, η = 1 is not
    keys = jax.random.split(jax.random.key(0), 50)

    @jax.jit
    def solved(eta):
        return sample_sde(keys, process, denoise, (1,), eta=eta, steps=300, t_min=1e-2, solver=diffrax.Heun())

    still, moved = solved(0.0).x, solved(1.0).x
    flow = sample_ode(keys, process, denoise, (1,), t_min=1e-2).x
    np.testing.assert_allclose(still, flow, atol=1e-2)
    assert np.sqrt(np.mean((moved - flow) ** 2)) > 0.3

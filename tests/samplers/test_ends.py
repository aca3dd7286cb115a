"""From exactly t = 1 to exactly t = 0, every sampler stays finite under every process, in half precision too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffrax import PIDController
from oracles import CONTINUOUS, PROCESSES

from jaxgen.diffusion import denoiser, ve
from jaxgen.diffusion.times import subset_grid, uniform_grid
from jaxgen.samplers import (
    annealed_langevin,
    ddim,
    ddpm,
    decode,
    dpmpp_1,
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_2s,
    euler,
    euler_maruyama,
    heun,
    langevin_corrector,
    predictor_corrector,
    reverse_diffusion,
    sample,
)

ANY = [
    ddpm("large"), ddim(), ddim(1.0), reverse_diffusion(), heun(churn=0.4), dpmpp_2m(), dpmpp_2s(), dpmpp_2m_sde(),
    annealed_langevin(1e-3, 1.0, 2, final_denoising=True),
    predictor_corrector(dpmpp_1(), langevin_corrector(norms="batch")),
]  # fmt: skip
CONTINUOUS_ONLY = [euler(), euler_maruyama()]


@pytest.mark.parametrize(("kind", "dtype"), [("eps", jnp.float32), ("eps", jnp.bfloat16), ("v", jnp.bfloat16)])
@pytest.mark.parametrize("name", PROCESSES)
def test_samples_are_finite_from_end_to_end(name, kind, dtype):
    process = PROCESSES[name]
    samplers = ANY + (CONTINUOUS_ONLY if process.steps is None else [])
    times = uniform_grid(4) if process.steps is None else subset_grid(process.steps, 4)
    assert times[0] == 1
    assert times[-1] == 0

    @jax.jit
    def run(keys):
        network = lambda x, t, cond: jnp.tanh(x.astype(dtype) + t.astype(dtype)[:, None])
        denoise = denoiser(process, network, predicts=kind)
        return [sample(keys, process, denoise, sampler, times, (2,), trajectory=True) for sampler in samplers]

    for path in run(jax.random.split(jax.random.key(0), 6)):
        assert path.dtype == jnp.float32
        assert np.all(np.isfinite(path))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_ode_is_finite_in_half_precision(name):
    process = CONTINUOUS[name]
    network = lambda x, t, cond: jnp.tanh(x.astype(jnp.bfloat16)) / 2
    denoise = denoiser(process, network, predicts="v" if name in ("cosine", "rectified_flow") else "eps")
    latent = process.prior_std * jax.random.normal(jax.random.key(0), (6, 2))
    # rounding of the network's output is noise to an adaptive step
    solved = decode(process, denoise, latent, controller=PIDController(rtol=1e-1, atol=1e-1))
    assert solved.x.dtype == jnp.float32
    assert np.all(np.isfinite(solved.x))


def test_a_corrector_works_at_the_last_level_of_ve_and_is_left_out_where_no_noise_is_left():
    """ve(0) carries sigma_min, so the corrector runs there; vp(0) is clean, and its score is infinite."""
    calls = []

    def counting(x, t, cond):
        jax.debug.callback(lambda: calls.append(1))
        return x

    keys = jax.random.split(jax.random.key(0), 3)
    for process, expected in ((ve(), 6), (PROCESSES["vp"], 5)):
        calls.clear()
        sampler = predictor_corrector(ddim(), langevin_corrector())
        x = sample(keys, process, denoiser(process, counting), sampler, uniform_grid(3), (2,))
        jax.block_until_ready(x)
        jax.effects_barrier()
        assert len(calls) == expected

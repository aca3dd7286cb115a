"""From exactly t = 1 to exactly t = 0, every sampler stays finite under every process, in half precision too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffrax import PIDController
from every_sampler import ANY, CONTINUOUS_ONLY
from oracles import CONTINUOUS, PROCESSES, nightly

from jaxgen.diffusion import denoiser, log_likelihood, subset_grid, uniform_grid, ve
from jaxgen.samplers import (
    annealed_langevin,
    ddim,
    ddpm,
    dpmpp_1,
    heun,
    langevin,
    langevin_corrector,
    ode_decode,
    ode_encode,
    predictor_corrector,
    sample,
    sample_sde,
)

COARSE = [
    ddim(1.0), heun(churn=0.4), langevin(1e-3, 2), annealed_langevin(1e-3, 1.0, 2, final_denoising=True),
    predictor_corrector(dpmpp_1(), langevin_corrector(norms="batch")),
]  # fmt: skip

CASES = [
    (name, *case) for name in PROCESSES for case in (("eps", jnp.float32), ("v", jnp.bfloat16), ("eps", jnp.bfloat16))
]


@nightly(("name", "kind", "dtype"), CASES)
def test_samples_are_finite_from_end_to_end(name, kind, dtype):
    process = PROCESSES[name]
    samplers = COARSE + list((ANY | CONTINUOUS_ONLY if process.steps is None else ANY).values())
    times = uniform_grid(4) if process.steps is None else subset_grid(process.steps, 4)
    assert (times[0], times[-1]) == (1, 0)

    @jax.jit
    def run(keys):
        network = lambda x, t, cond: jnp.tanh(x.astype(dtype) + t.astype(dtype)[:, None])
        denoise = denoiser(process, network, predicts=kind)
        both = lambda x, t, cond: jnp.concatenate([network(x, t, cond)] * 2, -1)
        learned = denoiser(process, both, predicts=kind, learned_variance=True)
        cases = [(denoise, sampler) for sampler in samplers] + [(learned, ddpm("learned"))]
        return [sample(keys, process, answer, sampler, times, (2,), trajectory=True) for answer, sampler in cases]

    for path in run(jax.random.split(jax.random.key(0), 6)):
        assert path.dtype == jnp.float32
        assert np.all(np.isfinite(path))


@nightly("name", CONTINUOUS)
def test_solvers_are_finite_in_half_precision(name):
    process = CONTINUOUS[name]
    network = lambda x, t, cond: jnp.tanh(x.astype(jnp.bfloat16)) / 2
    infinite = name in ("cosine", "rectified_flow")  # at t = 1
    denoise = denoiser(process, network, predicts="v" if infinite else "eps")
    keys = jax.random.split(jax.random.key(0), 6)
    x = jax.random.normal(jax.random.key(0), (6, 2))
    # rounding of the network's output is noise to an adaptive step
    options = {"controller": PIDController(rtol=1e-1, atol=1e-1)}

    @jax.jit
    def run(x):
        likelihood = log_likelihood(process, denoise, x, **options)
        return (
            ode_decode(process, denoise, process.prior_std * x, **options).x,
            ode_encode(process, denoise, x, **options).x,
            likelihood.log_density,
            likelihood.latent,
            sample_sde(keys, process, denoise, (2,), steps=4, t_max=0.999 if infinite else 1.0).x,
        )

    for found in run(x):
        assert found.dtype == jnp.float32
        assert np.all(np.isfinite(found))


@pytest.mark.slow
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

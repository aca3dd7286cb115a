"""Every sampler draws a bimodal density from the prior, under every process it serves: moments and mode weights."""

import jax
import numpy as np
import pytest
from every_sampler import ANY, CONTINUOUS_ONLY, one_process_by_day
from oracles import CONTINUOUS, PROCESSES, Mixture, slow

from jaxgen.diffusion import karras_grid, subset_grid
from jaxgen.samplers import sample

N, STEPS = 4000, 200
KEYS = jax.random.split(jax.random.key(0), N)


DAILY = ["ddpm_small", "heun", "dpmpp_2m_sde", "predictor_corrector", "euler_maruyama"]  # test_order has all by day
CASES = one_process_by_day(ANY, PROCESSES, ["vp", "ve", "zero_snr", "rectified_flow"])
CASES += one_process_by_day(CONTINUOUS_ONLY, CONTINUOUS, ["rectified_flow", "vp", "ve"])


@pytest.mark.parametrize(
    ("sampler", "name"), [case if case.values[0] in DAILY else slow(*case.values) for case in CASES]
)
def test_a_sampler_draws_the_mixture(sampler, name):
    process, steps = PROCESSES[name], PROCESSES[name].steps
    grid = subset_grid(steps, min(STEPS, steps)) if steps else karras_grid(process, STEPS, 0.01, 160.0)
    stepper = (ANY | CONTINUOUS_ONLY)[sampler]
    x = np.asarray(sample(KEYS, process, Mixture().denoiser(process), stepper, grid, (1,)))[:, 0]
    right = x > -0.2
    assert abs(right.mean() - 0.7) < 5 * np.sqrt(0.21 / N)
    for component, mean, std in ((x[right], 0.8, 0.2), (x[~right], -1.0, 0.3)):
        # the table of fifty steps is coarse
        assert abs(component.mean() - mean) < 0.1 * std + 3 * std / np.sqrt(len(component))
        np.testing.assert_allclose(component.std(), std, rtol=0.12 + 3 / np.sqrt(2 * len(component)))

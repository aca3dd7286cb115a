"""Every sampler draws a bimodal density from the prior, under every process it serves: moments and mode weights."""

import jax
import numpy as np
import pytest
from every_sampler import ANY, CONTINUOUS_ONLY
from oracles import CONTINUOUS, PROCESSES, Mixture, siblings_slow

from jaxgen.diffusion import karras_grid, subset_grid
from jaxgen.samplers import sample

N = 4000
KEYS = jax.random.split(jax.random.key(0), N)
STEPS = 200
CASES = [(sampler, process) for sampler in ANY for process in PROCESSES]
CASES += [(sampler, process) for sampler in CONTINUOUS_ONLY for process in CONTINUOUS]


def grid(process):
    if process.steps is not None:
        return subset_grid(process.steps, min(STEPS, process.steps))
    return karras_grid(process, STEPS, 0.01, 160.0)


@pytest.mark.parametrize(("sampler", "name"), siblings_slow(CASES))
def test_a_sampler_draws_the_mixture(sampler, name):
    process, mixture = PROCESSES[name], Mixture()
    stepper = (ANY | CONTINUOUS_ONLY)[sampler]
    x = np.asarray(sample(KEYS, process, mixture.denoiser(process), stepper, grid(process), (1,)))[:, 0]
    right = x > -0.2
    assert abs(right.mean() - 0.7) < 5 * np.sqrt(0.21 / N)
    for component, mean, std in ((x[right], 0.8, 0.2), (x[~right], -1.0, 0.3)):
        # the table of fifty steps is coarse
        assert abs(component.mean() - mean) < 0.1 * std + 3 * std / np.sqrt(len(component))
        np.testing.assert_allclose(component.std(), std, rtol=0.12 + 3 / np.sqrt(2 * len(component)))

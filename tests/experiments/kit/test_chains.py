"""The chains of any length, against DDPM's of 1000 steps."""

import numpy as np
import pytest

from experiments.kit.chains import scaled_linear


@pytest.mark.parametrize("timesteps", [50, 250, 1000])
def test_a_scaled_chain_ends_in_as_much_noise_as_that_of_1000_steps(timesteps):
    process = scaled_linear(timesteps)
    assert process.steps == timesteps
    exponent = -2 * np.log(float(process.alpha(1.0)))
    betas = 1000 / timesteps * np.linspace(1e-4, 0.02, timesteps)
    assert betas.sum() == pytest.approx(10.05)
    assert exponent == pytest.approx(-np.log1p(-betas).sum(), rel=1e-3)


def test_a_chain_of_few_steps_destroys_no_more_than_everything():
    assert 0 < float(scaled_linear(8).alpha(1.0)) <= 0.001**0.5  # the last step alone

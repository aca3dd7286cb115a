"""Chains of any length that end in as much noise."""

from jaxgen.diffusion import GaussianProcess, from_betas, linear_betas


def scaled_linear(timesteps: int) -> GaussianProcess:
    """DDPM's linear schedule, with β scaled by 1000/T so that the chain ends in as much noise for each T."""
    scale = 1000 / timesteps
    return from_betas(linear_betas(timesteps, 1e-4 * scale, min(0.02 * scale, 0.999)))

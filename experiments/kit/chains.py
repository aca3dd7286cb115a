"""DDPM's chain in another number of steps."""

from jaxgen.diffusion import GaussianProcess, from_betas, linear_betas


def scaled_linear(timesteps: int) -> GaussianProcess:
    """DDPM's linear schedule, with β scaled by 1000/T: from T = 50 on, it ends in as much noise as that of 1000 steps.

    Shorter ones have a last step that leaves nothing of its input, and end in almost pure noise.
    """
    scale = 1000 / timesteps
    return from_betas(linear_betas(timesteps, 1e-4 * scale, min(0.02 * scale, 0.999)))

"""Sampling by recovery likelihood: a chain in each reverse kernel, down the ladder."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import check_at_least, check_not_negative
from jaxgen.ebm.kernels import kernel_chain
from jaxgen.ebm.ladder import RecoveryLadder
from jaxgen.ebm.objectives import sample_chain
from jaxgen.samplers import Sampler


def recovery_sampler(steps: int = 30, *, adjusted: bool = False, noise_scale: float = 1.0) -> Sampler:
    """Sampling by recovery likelihood: at each level a chain in the kernel p(y | x_t), and then x_s = y/α_{t|s}.

    The chain starts at y = x_t. A level takes `steps` gradients of the energy. `samplers.sample` takes the ladder as
    its process and the energy (y, s) -> (B,) as its denoiser, and the times `diffusion.uniform_grid(ladder.steps)`.

    Args:
        steps: steps ≥ 1 of the chain at each level.
        adjusted: as in `recovery_likelihood`.
        noise_scale: factor ≥ 0 of the noise of unadjusted steps; 0 climbs to modes.

    Returns:
        The sampler, without history.

    Raises:
        ValueError: if steps < 1, noise_scale is negative or not finite, or is not 1 for adjusted steps; in the first
            step, if the process is no `RecoveryLadder`.

    Reference:
        Gao et al. 2021, algorithm 2.

    Example:
        ```python
        energy = partial(net.apply, state.ema)
        x = samplers.sample(keys, ladder, energy, ebm.recovery_sampler(20), diffusion.uniform_grid(ladder.steps), (2,))
        ```
    """
    check_at_least(1, steps=steps)
    check_not_negative(noise_scale=noise_scale)
    if adjusted and noise_scale != 1:
        raise ValueError(f"adjusted steps have noise_scale=1, got {noise_scale}: leave out one of the two")

    def step(key, process, denoise, t, s, x, carry):
        if not isinstance(process, RecoveryLadder):
            raise ValueError(
                f"recovery_sampler samples a RecoveryLadder, got {type(process).__name__}: see recovery_ladder"
            )
        forward = process.transition(t)
        energy = partial(_at_time, denoise, process.before(t))
        chain = kernel_chain(energy, x, forward.variance, process.step_size(t), adjusted, noise_scale)
        return sample_chain(key, chain, x, steps) / forward.alpha.astype(x.dtype), carry

    return Sampler(step)


def _at_time(energy: Callable[[Array, Array], Array], s: Array, y: Float[Array, "b *event"]) -> Float[Array, " b"]:
    return energy(y, jnp.broadcast_to(s, y.shape[:1]))

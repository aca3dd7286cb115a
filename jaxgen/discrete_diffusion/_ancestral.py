"""Ancestral sampling of chains over categories."""

from jaxgen.discrete_diffusion._denoiser import evaluate
from jaxgen.samplers import Sampler


def ancestral() -> Sampler:
    """Ancestral sampling: x_s from p_θ(x_s | x_t), all tokens of a step independently given x_t.

    A token is first told whether it changes, and then what it becomes. One categorical draw over the tokens and the
    mask would unmask too seldom in large vocabularies, where Gumbel noise of 23 bits does not reach rare tokens.

    Returns:
        The sampler, for every process of this room.

    Reference:
        Austin et al. 2021, §3; Zheng et al. 2024, "Masked diffusion models are secretly time-agnostic masked models and
        exploit inaccurate categorical sampling", for the fault of one draw.

    Example:
        >>> keys, times = jax.random.split(jax.random.key(0), 16), diffusion.uniform_grid(64)
        >>> tokens = samplers.sample(keys, process, denoise, discrete_diffusion.ancestral(), times, (128,))
    """

    def step(key, process, denoise, t, s, x, carry):
        return process.reverse_step(key, evaluate(denoise, x, t).log_others, x, s, t), carry

    return Sampler(step)

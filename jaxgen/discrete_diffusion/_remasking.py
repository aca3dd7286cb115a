"""Remasking samplers of absorbing chains, which may correct what they have drawn."""

import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxgen.core import fold_in, is_traced, safe_divide
from jaxgen.discrete_diffusion._absorbing import check_absorbing
from jaxgen.discrete_diffusion._denoiser import evaluate
from jaxgen.discrete_diffusion.draws import bernoulli, categorical
from jaxgen.samplers import Sampler


def remasking(share: ArrayLike = 0.1, *, cap: ArrayLike = 1.0) -> Sampler:
    """Remasking: tokens that are no mask become masks again with probability σ, and are drawn anew.

        σ = share · min(cap, σ_max),    σ_max = min(1, (1 − α_s)/α_t)

    Masks are unmasked with probability (α_s − (1 − σ)α_t)/(1 − α_t), so that the marginals of each token stay those of
    the chain. A share of 0 is `ancestral`. It lets a network correct its own errors. But it draws more masks together,
    which adds to the error of drawing them independently, so it takes many steps.

    Args:
        share: the share of the largest probability, in [0, 1].
        cap: an upper limit of it, in [0, 1]; .02 to .04 with share 1 are the published values.

    Returns:
        The sampler, for an absorbing process.

    Raises:
        ValueError: if a concrete share or cap is outside [0, 1]; when called, if the process is not absorbing.

    Reference:
        Wang et al. 2025, "Remasking discrete diffusion models with inference-time scaling".
    """
    for name, value in {"share": share, "cap": cap}.items():
        if not is_traced(value) and not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {value}")

    def step(key, process, denoise, t, s, x, carry):
        check_absorbing(process, "remasking")
        before, after = process.schedule.complement(t), process.schedule.complement(s)
        alpha = process.schedule.alpha(t)
        largest = jnp.where(alpha > 0, jnp.minimum(1, safe_divide(after, alpha)), 1)
        sigma = share * jnp.minimum(cap, largest)
        # α_s − (1 − σ)α_t in complements, which is exactly 1 − α_t at s = 0
        unmask = safe_divide(before - after + sigma * alpha, before)
        masked = process.masked(x)
        draws = bernoulli(fold_in(key, 0), jnp.clip(jnp.where(masked, unmask, sigma), 0, 1), x.shape[1:])
        tokens = categorical(fold_in(key, 1), evaluate(denoise, x, t).log_others)
        return jnp.where(draws, jnp.where(masked, tokens, process.mask), x), carry

    return Sampler(step)

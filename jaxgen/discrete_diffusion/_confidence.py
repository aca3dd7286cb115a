"""Sampling of absorbing chains in the order of the network's confidence."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import as_float, check_not_negative, fold_in, threefry_key
from jaxgen.discrete_diffusion._absorbing import check_absorbing
from jaxgen.discrete_diffusion._denoiser import evaluate
from jaxgen.discrete_diffusion.draws import categorical
from jaxgen.samplers import Sampler


def confidence_order(temperature: float | int = 0.0) -> Sampler:
    """Confidence order: each step draws a token for every mask, and keeps those that were the most probable.

    ⌊D (1 − α_s)⌋ of the D tokens stay masks, so that the number of unmasked tokens follows the schedule. The order
    depends on the tokens, so that the samples do not have the law of the chain: sure tokens come first.

    Args:
        temperature: of the order, ≥ 0. The scores log p + temperature · t · Gumbel noise rank the masks; 0 ranks by
            confidence alone, and a large temperature at random.

    Returns:
        The sampler, for an absorbing process.

    Raises:
        ValueError: if temperature is negative or not finite; when called, if the process is not absorbing.

    Reference:
        Chang et al. 2022, "MaskGIT: Masked generative image transformer", §3.2.
    """
    check_not_negative(temperature=temperature)

    def step(key, process, denoise, t, s, x, carry):
        check_absorbing(process, "confidence order")
        log_p = evaluate(denoise, x, t).log_others
        tokens = categorical(fold_in(key, 0), log_p)
        score = jnp.take_along_axis(log_p, tokens[..., None], axis=-1)[..., 0]
        if temperature:
            gumbel = jax.vmap(lambda key: jax.random.gumbel(key, x.shape[1:]))(threefry_key(fold_in(key, 1)))
            score = score + temperature * as_float(t) * gumbel
        masked = process.masked(x)
        tokens_of_one = x[0].size
        # the tolerance keeps the rounding of 1 − α from moving a whole token
        left = jnp.floor(tokens_of_one * process.schedule.complement(s) + 1e-4)
        unmasked = masked.sum(tuple(range(1, x.ndim))) - left
        return jnp.where(masked & (_rank(jnp.where(masked, score, -jnp.inf)) < _over(unmasked, x)), tokens, x), carry

    return Sampler(step)


def _over(count: Float[Array, " b"], x: Array) -> Array:
    return count.reshape(-1, *(1,) * (x.ndim - 1))


def _rank(score: Float[Array, "b *event"]) -> Array:
    """The place of each score in its example, the largest first."""
    flat = score.reshape(score.shape[0], -1)
    return jnp.argsort(jnp.argsort(-flat, axis=-1), axis=-1).reshape(score.shape)

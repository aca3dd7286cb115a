"""First-hitting sampling of absorbing chains: one token at a time, at its exact time."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxgen.core import fold_in, threefry_key
from jaxgen.discrete_diffusion._absorbing import check_absorbing
from jaxgen.discrete_diffusion._denoiser import evaluate
from jaxgen.discrete_diffusion.draws import categorical
from jaxgen.samplers import Sampler


def first_hitting() -> Sampler:
    """First-hitting sampling: each step draws the time at which the next mask is unmasked, and unmasks it alone.

        1 − α(τ') = (1 − α(τ)) u^{1/n},    n masks, u uniform

    It has the law of ancestral sampling in infinitely many steps, in one step for each token. So it takes a grid of as
    many steps as an example has tokens, such as `diffusion.uniform_grid(tokens)`. Its own times take the place of the
    grid's, which only begins where the first is. Steps that find no mask change nothing. The step to s = 0 unmasks all
    that is left, so that a shorter grid ends with tokens that are drawn independently.

    Returns:
        The sampler, for an absorbing process in continuous time. Its carry is the time τ (B,).

    Raises:
        ValueError: when called, if the process is not absorbing, or time is discrete.

    Reference:
        Zheng et al. 2024, "Masked diffusion models are secretly time-agnostic masked models and exploit inaccurate
        categorical sampling".
    """

    def init(x: Int[Array, "b *event"]) -> Array:
        return jnp.full(x.shape[:1], jnp.nan)

    def step(key, process, denoise, t, s, x, carry):
        check_absorbing(process, "first-hitting sampling")
        if process.steps is not None:
            raise ValueError("first-hitting sampling needs continuous time: give the process such a schedule")
        key = threefry_key(key)
        uniform = jax.vmap(lambda key, shape=x.shape[1:]: jax.random.uniform(key, shape))(fold_in(key, 0))
        u = 1 - jax.vmap(jax.random.uniform)(fold_in(key, 1))  # in (0, 1]
        masked = process.masked(x)
        axes = tuple(range(1, x.ndim))
        count = jnp.maximum(masked.sum(axes), 1)
        now = jnp.where(jnp.isnan(carry), t, carry)
        tau = process.schedule.time_at(process.schedule.complement(now) * u ** (1 / count))
        tokens = categorical(fold_in(key, 2), evaluate(denoise, x, tau).log_others)
        place = jnp.where(masked, uniform, -1)
        chosen = (place == place.max(axes, keepdims=True)) | (s == 0)
        return jnp.where(masked & chosen, tokens, x), tau

    return Sampler(step, init)

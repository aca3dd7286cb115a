"""How often masks are unmasked in a large vocabulary: by one categorical draw, and by two."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.discrete.config import Config
from jaxgen import discrete_diffusion

PROBABILITIES = (0.1, 0.01, 0.003)
CHUNK = 128


class Unmasking(NamedTuple):
    """Unmasked shares by the probability that is asked for.

    Attributes:
        asked: the probabilities.
        one_draw: shares by one categorical draw over the tokens and the mask, with JAX's default Gumbel noise.
        two_draws: shares by the ancestral sampler.
        offered: masks at each probability.
    """

    asked: np.ndarray
    one_draw: np.ndarray
    two_draws: np.ndarray
    offered: int


def unmasking(config: Config) -> Unmasking:
    """Count masks that are unmasked where every token is equally likely."""
    process = discrete_diffusion.absorbing(config.vocabulary, discrete_diffusion.linear_schedule())
    x = jnp.full((1, min(CHUNK, config.unmasked)), process.mask)
    log_p = jnp.full((*x.shape, config.vocabulary), -np.log(config.vocabulary), jnp.float32)

    @jax.jit
    def count(key, probability):
        t = jnp.float32(0.5)
        s = t * (1 - probability)
        one = jax.random.categorical(key, process.log_reverse(log_p, x, s, t), mode="low")
        two = process.reverse_step(key[None], log_p, x, s, t)
        return jnp.stack([(found != process.mask).sum() for found in (one, two)])

    chunks = max(1, config.unmasked // x.size)
    shares = []
    for i, probability in enumerate(PROBABILITIES):
        keys = jax.random.split(jax.random.key(config.seed + i), chunks)
        shares.append(sum(np.asarray(count(key, probability)) for key in keys) / (chunks * x.size))
    one_draw, two_draws = np.transpose(shares)
    return Unmasking(np.array(PROBABILITIES), one_draw, two_draws, chunks * x.size)

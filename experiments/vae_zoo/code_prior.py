"""The autoregressive prior over the indices of a VQ-VAE."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.core import fold_in


class CodePrior(nn.Module):
    """A recurrent network over sequences of indices, each given those before it.

    Args:
        codes: number of codes.
        width: dimensions of an index's embedding, half of those of the recurrent state.
    """

    codes: int
    width: int

    @nn.compact
    def __call__(self, indices: jax.Array) -> jax.Array:
        """Logits (b, n, codes) of each of the indices (b, n), given those before it."""
        # the first index follows one that no code has
        before = jnp.pad(indices[:, :-1], ((0, 0), (1, 0)), constant_values=self.codes)
        x = nn.Embed(self.codes + 1, self.width)(before)
        x += self.param("position", nn.initializers.normal(0.1), x.shape[1:])
        return nn.Dense(self.codes)(nn.RNN(nn.GRUCell(2 * self.width))(x))

    def log_prob(self, params: Any, indices: jax.Array) -> jax.Array:
        """log p of sequences (b, n), in nats, (b,)."""
        found = jax.nn.log_softmax(self.apply(params, indices))
        return jnp.take_along_axis(found, indices[..., None], -1)[..., 0].sum(-1)

    def sample(self, params: Any, keys: jax.Array, length: int) -> jax.Array:
        """Sequences (b, length), one for each of the keys (b,)."""

        def draw(i, indices):
            logits = self.apply(params, indices)[:, i]
            return indices.at[:, i].set(jax.vmap(jax.random.categorical)(fold_in(keys, i), logits))

        return jax.lax.fori_loop(0, length, draw, jnp.zeros((len(keys), length), int))

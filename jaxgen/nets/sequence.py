"""How a text, a sequence of tokens of fixed length, enters a network, and what "no text" means."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Shaped


def sequence_tokens(
    cond: Shaped[ArrayLike, "..."] | None, batch: int, *, num_tokens: int, length: int
) -> Int[Array, "b length"]:
    """Tokens (batch, length) in 0 … num_tokens, in which **num_tokens means "no condition"**.

    `cond` holds integers (b, length): 0 … num_tokens-1 are characters; num_tokens itself and negative ones are null; a
    larger one stays, for `SequenceEmbedding` to answer with NaN. `cond=None` is null for the whole batch. Where all
    tokens of an example are null its text is dropped, as classifier-free guidance does (Ho & Salimans 2022); where some
    are, those characters are left open.
    Raises ValueError for tokens of another shape or not integers, and for no tokens or no length.
    """
    if num_tokens < 1 or length < 1:
        raise ValueError(f"a text has at least one character of at least one kind, got {length} of {num_tokens}")
    if cond is None:
        return jnp.full((batch, length), num_tokens, jnp.int32)
    cond = jnp.asarray(cond)
    if not jnp.issubdtype(cond.dtype, jnp.integer):
        raise ValueError(f"with num_tokens set, cond holds integer tokens, got {cond.dtype}")
    if cond.shape != (batch, length):
        raise ValueError(f"cond must be a text per example, shape ({batch}, {length}), got {cond.shape}")
    cond = cond.astype(jnp.int32)
    return jnp.where(cond < 0, num_tokens, cond)


class SequenceEmbedding(nn.Module):
    """One vector per token: an embedding of the character, one of them learned for null, plus one of its position.

    Computed in float32. A token beyond null gives NaN, so that a mislabelled batch shows at the first loss.
    """

    features: int
    num_tokens: int
    length: int

    @nn.compact
    def __call__(self, cond: Shaped[ArrayLike, "..."] | None, batch: int) -> Float[Array, "b length features"]:
        """Embed cond (b, length); raises ValueError as `sequence_tokens` does."""
        tokens = sequence_tokens(cond, batch, num_tokens=self.num_tokens, length=self.length)
        init = nn.initializers.normal(1.0)
        characters = self.param("characters", init, (self.num_tokens + 1, self.features))
        positions = self.param("positions", init, (self.length, self.features))
        vectors = jnp.take(characters, jnp.minimum(tokens, self.num_tokens), axis=0) + positions
        return jnp.where(tokens[..., None] > self.num_tokens, jnp.nan, vectors)

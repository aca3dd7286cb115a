"""Texts as conditions: sequences of tokens of fixed length and their embedding."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Shaped


def sequence_tokens(
    cond: Shaped[ArrayLike, "..."] | None, batch: int, *, num_tokens: int, length: int
) -> Int[Array, "b length"]:
    """Convert a text condition to tokens in 0 … num_tokens, in which **num_tokens means "no condition"**.

    An example whose tokens are all null has no text, as in classifier-free guidance (Ho & Salimans 2022). Where only
    some are null, those characters are unspecified.

    Args:
        cond: integers (b, length). 0 … num_tokens-1 are characters; num_tokens and negative tokens are null; larger
            tokens stay, and `SequenceEmbedding` turns them into NaN. None is null for the whole batch.
        batch: batch size b.
        num_tokens: number of different characters.
        length: number of characters of a text.

    Returns:
        Tokens (batch, length), int32.

    Raises:
        ValueError: if tokens have another shape or are not integers, or `num_tokens` or `length` is below 1.
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
    """One float32 vector per token: an embedding of the character or of null, plus one of its position.

    A token beyond null gives NaN, so that wrong texts show in the first loss.
    """

    features: int
    num_tokens: int
    length: int

    @nn.compact
    def __call__(self, cond: Shaped[ArrayLike, "..."] | None, batch: int) -> Float[Array, "b length features"]:
        """Embed cond (b, length); raise ValueError as `sequence_tokens` does."""
        tokens = sequence_tokens(cond, batch, num_tokens=self.num_tokens, length=self.length)
        init = nn.initializers.normal(1.0)
        characters = self.param("characters", init, (self.num_tokens + 1, self.features))
        positions = self.param("positions", init, (self.length, self.features))
        vectors = jnp.take(characters, jnp.minimum(tokens, self.num_tokens), axis=0) + positions
        return jnp.where(tokens[..., None] > self.num_tokens, jnp.nan, vectors)

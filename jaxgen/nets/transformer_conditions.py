"""What modulates a diffusion transformer: the embedding of time, class, vector and text."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.embedding import (
    EmbeddingMLP,
    broadcast_times,
    class_labels,
    condition_vector,
    sinusoidal_embedding,
)
from jaxgen.nets.sequence import SequenceEmbedding

TIME_FEATURES = 256  # sines and cosines of the time, whatever the width

_NORMAL = nn.initializers.normal(0.02)


class LabelEmbedding(nn.Module):
    """A learned vector for each class, and one for null; a label beyond null gives NaN.

    Args:
        features: number of features of a vector.
        num_classes: number of classes.
    """

    features: int
    num_classes: int

    @nn.compact
    def __call__(self, cond: Shaped[ArrayLike, "..."] | None, batch: int) -> Float[Array, "b features"]:
        """Embed labels (b,); None is null for the whole batch."""
        table = self.param("classes", _NORMAL, (self.num_classes + 1, self.features))
        if cond is None:
            return jnp.broadcast_to(table[-1], (batch, self.features))
        labels = class_labels(cond, batch, self.num_classes)
        vectors = jnp.take(table, jnp.minimum(labels, self.num_classes), axis=0)
        return jnp.where(labels[:, None] > self.num_classes, jnp.nan, vectors)


class TransformerConditions(nn.Module):
    """The sum of embeddings of time and condition, and the vectors of a text's characters.

    Args:
        features: width of the transformer.
        num_classes: number of classes, if `cond` holds labels.
        cond_dim: dimension of `cond`, if it holds vectors.
        num_tokens: number of different characters, if `cond` holds texts.
        sequence_length: number of characters of a text.
        sequence_vector: add the projected text to the embedding.
        time_scale: factor of the times before their sines and cosines.

    Reference:
        Peebles & Xie 2023, §3.2.
    """

    features: int
    num_classes: int | None = None
    cond_dim: int | None = None
    num_tokens: int | None = None
    sequence_length: int | None = None
    sequence_vector: bool = True
    time_scale: float = 1000.0

    @nn.compact
    def __call__(
        self, t: Shaped[ArrayLike, "..."], cond: Shaped[ArrayLike, "..."] | None, batch: int
    ) -> tuple[Float[Array, "b features"], Float[Array, "b length features"] | None]:
        """Embed t (b,) or () and cond; raise ValueError as `condition_vector` and `sequence_tokens` do."""

        def mlp(name: str) -> EmbeddingMLP:
            return EmbeddingMLP(self.features, kernel_init=_NORMAL, name=name)

        waves = sinusoidal_embedding(broadcast_times(t, batch), TIME_FEATURES, scale=self.time_scale)
        embedding = mlp("time")(waves)
        if self.num_tokens is not None:
            text = SequenceEmbedding(self.features, self.num_tokens, self.sequence_length, name="text")(cond, batch)
            if self.sequence_vector:
                embedding += mlp("text_vector")(text.reshape(batch, -1))
            return embedding, text
        vector = condition_vector(cond, batch, num_classes=self.num_classes, cond_dim=self.cond_dim)
        if self.num_classes is not None:
            embedding += LabelEmbedding(self.features, self.num_classes, name="label")(cond, batch)
        elif vector is not None:
            embedding += mlp("vector")(vector)
        return embedding, None

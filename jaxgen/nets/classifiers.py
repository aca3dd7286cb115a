"""Small convolutional networks that classify images and read texts."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.convolution import Conv
from jaxgen.nets.normalization import GroupNorm
from jaxgen.nets.resampling import average_pool, image_size


class ConvClassifier(nn.Module):
    """Image classifier whose penultimate layer serves as the feature space of Fréchet distances.

    For each width: a 3×3 convolution, GroupNorm, SiLU and 2× pooling; then the mean over pixels and two linear layers.
    `net.apply(params, x)` maps images (b, h, w, c) of any size to logits (b, num_classes).
    `net.apply(params, x, method=ConvClassifier.features)` maps them to features (b, feature_dim).

    Args:
        num_classes: number of classes.
        feature_dim: number of features.
        widths: channels of the convolutions.

    Raises:
        ValueError: if x is not (b, h, w, c) floating point.
    """

    num_classes: int
    feature_dim: int = 64
    widths: Sequence[int] = (32, 64, 128)

    def setup(self):
        """Create the layers that both methods share."""
        self.convs = [Conv(width, (3, 3)) for width in self.widths]
        self.norms = [GroupNorm() for _ in self.widths]
        self.embed = nn.Dense(self.feature_dim)
        self.classify = nn.Dense(self.num_classes)

    def features(self, x: Shaped[ArrayLike, "b *event"]) -> Float[Array, "b feature_dim"]:
        """Compute the features before the last activation, which a Gaussian can fit.

        Args:
            x: images (b, h, w, c), floating point.

        Returns:
            Features (b, feature_dim), float32.

        Raises:
            ValueError: if x is not (b, h, w, c) floating point.
        """
        image_size(x)
        x = jnp.asarray(x, jnp.float32)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = average_pool(nn.silu(norm(conv(x))))
        return self.embed(x.mean((1, 2)))

    def __call__(self, x: Shaped[ArrayLike, "b *event"]) -> Float[Array, "b num_classes"]:
        """Compute the logits (b, num_classes)."""
        return self.classify(nn.silu(self.features(x)))


class TextRecogniser(nn.Module):
    """Classifier of each character of a text of fixed length.

    For each width: a 3×3 convolution, GroupNorm, SiLU and 2× pooling; then two linear layers over all pixels, which tie
    the parameters to one image size. `net.apply(params, x)` maps images (b, h, w, c) to float32 logits
    (b, length, num_tokens), where row j belongs to the j-th character.

    Args:
        num_tokens: number of different characters.
        length: number of characters of a text.
        hidden: width of the hidden linear layer.
        widths: channels of the convolutions.

    Raises:
        ValueError: if x is not (b, h, w, c) floating point.
    """

    num_tokens: int
    length: int
    hidden: int = 256
    widths: Sequence[int] = (32, 64, 64)

    @nn.compact
    def __call__(self, x: Shaped[ArrayLike, "b *event"]) -> Float[Array, "b length num_tokens"]:
        """Compute the logits (b, length, num_tokens)."""
        image_size(x)
        x = jnp.asarray(x, jnp.float32)
        for i, width in enumerate(self.widths):
            x = average_pool(nn.silu(GroupNorm(name=f"norm_{i}")(Conv(width, (3, 3), name=f"conv_{i}")(x))))
        x = nn.silu(nn.Dense(self.hidden, name="hidden")(x.reshape(x.shape[0], -1)))
        return nn.DenseGeneral((self.length, self.num_tokens), name="read")(x)

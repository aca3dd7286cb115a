"""A small image classifier, whose penultimate layer serves as the feature space of Fréchet distances."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.normalization import GroupNorm
from jaxgen.nets.resampling import average_pool, image_size


class ConvClassifier(nn.Module):
    """3×3 convolution, GroupNorm, SiLU and 2× pooling per width, then the mean over pixels and two linear layers.

    `net.apply(params, x)` maps images x (b, h, w, c) of any size to logits (b, num_classes), and
    `net.apply(params, x, method=ConvClassifier.features)` to the features (b, feature_dim) before the last SiLU and
    linear layer. The default costs 2.6 million multiply-adds per 16×16 RGB image.
    Raises ValueError if x is not (b, h, w, c) floating point.
    """

    num_classes: int
    feature_dim: int = 64
    widths: Sequence[int] = (32, 64, 128)

    def setup(self):
        """Create the layers, which both methods share."""
        self.convs = [nn.Conv(width, (3, 3)) for width in self.widths]
        self.norms = [GroupNorm() for _ in self.widths]
        self.embed = nn.Dense(self.feature_dim)
        self.classify = nn.Dense(self.num_classes)

    def features(self, x: Shaped[ArrayLike, "b *event"]) -> Float[Array, "b feature_dim"]:
        """Features (b, feature_dim), unbounded on both sides, so that a Gaussian can fit them."""
        image_size(x)
        x = jnp.asarray(x, jnp.float32)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = average_pool(nn.silu(norm(conv(x))))
        return self.embed(x.mean((1, 2)))

    def __call__(self, x: Shaped[ArrayLike, "b *event"]) -> Float[Array, "b num_classes"]:
        """Logits (b, num_classes)."""
        return self.classify(nn.silu(self.features(x)))

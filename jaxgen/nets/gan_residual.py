"""A residual generator and critic."""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.core import as_float
from jaxgen.nets.convolution import Conv
from jaxgen.nets.gan_layers import (
    TimeShift,
    check_event,
    embedded_time,
    leaky_relu,
    minibatch_std,
    normalised,
    num_halvings,
)
from jaxgen.nets.gaussian_head import flatten_latents
from jaxgen.nets.normalization import GroupNorm
from jaxgen.nets.resampling import average_pool, image_size, upsample_nearest


class UpBlock(nn.Module):
    """Residual block that doubles the sides: (shortcut + two 3×3 convolutions)/√2."""

    features: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 features"]:
        """Map (b, h, w, c) to (b, 2h, 2w, features)."""
        hidden = upsample_nearest(nn.relu(GroupNorm(dtype=self.dtype, name="norm_1")(x)))
        hidden = Conv(self.features, (3, 3), dtype=self.dtype, name="conv_1")(hidden)
        hidden = nn.relu(GroupNorm(dtype=self.dtype, name="norm_2")(hidden))
        hidden = Conv(self.features, (3, 3), dtype=self.dtype, name="conv_2")(hidden)
        shortcut = nn.Dense(self.features, dtype=self.dtype, name="shortcut")(x)
        return (upsample_nearest(shortcut) + hidden) / 2**0.5


class DownBlock(nn.Module):
    """Residual block that halves the sides by pooling: (shortcut + two 3×3 convolutions, shifted by the time)/√2."""

    features: int
    spectral_norm: bool = False
    dtype: DTypeLike | None = None
    activation: Callable[[Array], Array] = leaky_relu

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], embedding: Float[Array, "b e"] | None, update_stats: bool = False
    ) -> Float[Array, "b h2 w2 features"]:
        """Map (b, h, w, c) to (b, h/2, w/2, features)."""

        def apply(layer, x):
            return normalised(layer, x, self.spectral_norm, update_stats)

        hidden = apply(Conv(self.features, (3, 3), dtype=self.dtype, name="conv_1"), self.activation(x))
        hidden = self.activation(TimeShift(name="time")(hidden, embedding))
        hidden = apply(Conv(self.features, (3, 3), dtype=self.dtype, name="conv_2"), hidden)
        shortcut = apply(nn.Dense(self.features, dtype=self.dtype, name="shortcut"), average_pool(x))
        return (shortcut + average_pool(hidden)) / 2**0.5


class ResidualGenerator(nn.Module):
    """Residual blocks that double the sides of a small grid up to an image.

    `net.apply(params, z)` maps latents (b, *d) to images (b, *event) in (−1, 1), in float32 or higher.

    Args:
        event: (height, width, channels) of an image, with sides that can be halved to 4 or more: 8, 16, 28, 32, 64.
        channels: channels at the full size; each smaller size has twice as many, up to `max_channels`.
        max_channels: most channels of a layer.
        dtype: type that the hidden layers compute in.

    Raises:
        ValueError: if `event` is not such an image, or z is not floating point or has no axis beyond the batch.

    Reference:
        Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", appendix F; GroupNorm in place of batch
        normalisation.
    """

    event: Sequence[int]
    channels: int = 64
    max_channels: int = 256
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "b *d"]) -> Float[Array, "b *event"]:
        """Generate images from z (b, *d)."""
        height, width, out_channels = check_event(self.event)
        stages = num_halvings(height, width)
        widths = [min(self.channels << i, self.max_channels) for i in range(stages + 1)]
        first = (height >> stages, width >> stages, widths[-1])
        x = nn.Dense(math.prod(first), dtype=self.dtype, name="grid")(flatten_latents(z)).reshape(len(z), *first)
        for i in reversed(range(stages)):
            x = UpBlock(widths[i], self.dtype, name=f"block_{i}")(x)
        x = nn.relu(GroupNorm(name="out_norm")(as_float(x)))
        return jnp.tanh(Conv(out_channels, (3, 3), name="out")(x))


def residual_features(
    net: nn.Module,
    x: Array,
    t: ArrayLike | None,
    activation: Callable[[Array], Array],
    minibatch_group: int,
    update_stats: bool,
) -> Float[Array, "b h w c"]:
    """The features of the smallest size, by layers of `net`, which has the arguments of `ResidualCritic`."""
    stages = num_halvings(*image_size(x))
    embedding = embedded_time(t, 4 * net.channels, len(x))
    widths = [min(net.channels << i, net.max_channels) for i in range(stages + 1)]

    def conv(width, x, name):
        layer = Conv(width, (3, 3), dtype=net.dtype, name=name)
        return normalised(layer, x, net.spectral_norm, update_stats)

    x = conv(widths[0], x, "in")
    for i in range(stages):
        block = DownBlock(widths[i + 1], net.spectral_norm, net.dtype, activation, name=f"block_{i}")
        x = block(x, embedding, update_stats)
    if minibatch_group:
        x = minibatch_std(x, minibatch_group)
    return as_float(activation(conv(widths[-1], activation(x), "last")))


class ResidualCritic(nn.Module):
    """Residual blocks that halve an image down to 4×4 (7×7 for 28×28), the mean over pixels, and a linear layer.

    `net.apply(params, x)` maps images (b, h, w, c) to logits (b,), in float32 or higher. A critic of noised images is
    initialised and called with their times, `net.apply(params, x, t)`. There are no normalisation layers.
    `spectral_norm` adds the collection "batch_stats", as in `DCGANCritic`.

    Args:
        channels: channels at the full size; each smaller size has twice as many, up to `max_channels`.
        max_channels: most channels of a layer.
        minibatch_group: examples in a group of `minibatch_std` at the smallest size; 0 leaves it out. With it, a logit
            depends on the other examples of the group.
        spectral_norm: divide each layer's kernel by an estimate of its largest singular value.
        dtype: type that the convolutions compute in.

    Raises:
        ValueError: if x is not (b, h, w, c) floating point with sides that can be halved to 4 or more, or t has another
            shape than () or (b,).

    Reference:
        Gulrajani et al. 2017, appendix F; Miyato et al. 2018; Karras et al. 2018, §3.
    """

    channels: int = 64
    max_channels: int = 256
    minibatch_group: int = 0
    spectral_norm: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Shaped[ArrayLike, "b *event"], t: Shaped[ArrayLike, "..."] | None = None, *, update_stats: bool = False
    ) -> Float[Array, " b"]:
        """Evaluate the critic at x (b, h, w, c), and at their times t, () or (b,), in [0, 1]."""
        features = residual_features(self, jnp.asarray(x), t, leaky_relu, self.minibatch_group, update_stats)
        return normalised(nn.Dense(1, name="out"), features.mean((1, 2)), self.spectral_norm, update_stats)[:, 0]

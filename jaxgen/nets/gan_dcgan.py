"""The convolutional generator and critic of DCGAN."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.core import as_float
from jaxgen.nets.convolution import Conv
from jaxgen.nets.gan_layers import TimeShift, check_event, embedded_time, leaky_relu, normalised, num_halvings
from jaxgen.nets.gaussian_head import flatten_latents
from jaxgen.nets.normalization import GroupNorm
from jaxgen.nets.resampling import UpConv, image_size


class DCGANGenerator(nn.Module):
    """Transposed 4×4 convolutions of stride 2 from a small grid to an image.

    `net.apply(params, z)` maps latents (b, *d) to images (b, *event) in (−1, 1), in float32 or higher. An image of
    28×28 comes from a grid of 7×7 with 4·channels, by layers of 2·channels, channels and the image's own channels. One
    of 2ⁿ⁺² pixels a side comes from a grid of 4×4 with 2ⁿ·channels.

    The paper's batch normalisation is GroupNorm here, so that no example depends on another.

    Args:
        event: (height, width, channels) of an image, with sides that can be halved to 4 or more: 8, 16, 28, 32, 64.
        channels: channels of the last hidden layer.
        dtype: type that the hidden layers compute in.

    Raises:
        ValueError: if `event` is not such an image, or z is not floating point or has no axis beyond the batch.

    Reference:
        Radford et al. 2016, "Unsupervised Representation Learning with DCGANs", figure 1.
    """

    event: Sequence[int]
    channels: int = 64
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "b *d"]) -> Float[Array, "b *event"]:
        """Generate images from z (b, *d)."""
        height, width, out_channels = check_event(self.event)
        stages = num_halvings(height, width)
        first = (height >> stages, width >> stages, self.channels << stages)

        def activate(x, name):
            return nn.relu(GroupNorm(dtype=self.dtype, name=name)(x))

        x = nn.Dense(math.prod(first), dtype=self.dtype, name="grid")(flatten_latents(z))
        x = activate(x.reshape(len(z), *first), "grid_norm")
        x = Conv(first[-1] // 2, (3, 3), dtype=self.dtype, name=f"conv_{stages}")(x)
        x = activate(x, f"norm_{stages}")
        for i in reversed(range(1, stages)):
            x = UpConv(self.channels << (i - 1), dtype=self.dtype, name=f"conv_{i}")(x)
            x = activate(x, f"norm_{i}")
        return jnp.tanh(UpConv(out_channels, name="out")(as_float(x)))


class DCGANCritic(nn.Module):
    """4×4 convolutions of stride 2 with leaky ReLU down to 4×4 (7×7 for 28×28), and a linear layer.

    `net.apply(params, x)` maps images (b, h, w, c) to logits (b,), in float32 or higher. A critic of noised images is
    initialised and called with their times, `net.apply(params, x, t)`. There are no normalisation layers.

    With `spectral_norm` the variables have a collection "batch_stats" beside "params". A critic's loss calls
    `net.apply({"params": p, "batch_stats": s}, x, update_stats=True, mutable=["batch_stats"])`, which also returns the
    new statistics. They belong in the carry that both players share. `gan.adversarial_objectives` puts them there as
    its `critic_state`, which the critic's updates alone advance.

    Args:
        channels: channels of the first layer; each further one has twice as many.
        spectral_norm: divide each layer's kernel by an estimate of its largest singular value.
        dtype: type that the convolutions compute in.

    Raises:
        ValueError: if x is not (b, h, w, c) floating point with sides that can be halved to 4 or more, or t has another
            shape than () or (b,).

    Reference:
        Radford et al. 2016; Miyato et al. 2018, "Spectral Normalization for GANs".
    """

    channels: int = 64
    spectral_norm: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Shaped[ArrayLike, "b *event"], t: Shaped[ArrayLike, "..."] | None = None, *, update_stats: bool = False
    ) -> Float[Array, " b"]:
        """Evaluate the critic at x (b, h, w, c), and at their times t, () or (b,), in [0, 1]."""
        x = jnp.asarray(x)
        stages = num_halvings(*image_size(x))
        embedding = embedded_time(t, 4 * self.channels, len(x))

        def apply(layer, x):
            return normalised(layer, x, self.spectral_norm, update_stats)

        for i in range(stages):
            x = apply(Conv(self.channels << i, (4, 4), 2, dtype=self.dtype, name=f"conv_{i}"), x)
            x = leaky_relu(TimeShift(name=f"time_{i}")(x, embedding))
        return apply(nn.Dense(1, name="out"), as_float(x).reshape(len(x), -1))[:, 0]

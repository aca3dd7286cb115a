"""The small U-Net with context of the sprites course."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.convolution import Conv
from jaxgen.nets.embedding import EmbeddingMLP, broadcast_times, condition_vector
from jaxgen.nets.normalization import GroupNorm
from jaxgen.nets.resampling import TransposedConv, average_pool, image_size


def symmetric_uniform(key, shape, dtype=jnp.float32):
    """Draw uniformly from [-1, 1], which spreads the kinks of the hidden units over the range of t."""
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


class ConvBlock(nn.Module):
    """Two 3×3 convolutions, each followed by GroupNorm and GELU."""

    features: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w features"]:
        """Map (b, h, w, c) to (b, h, w, features)."""
        for i in (1, 2):
            x = Conv(self.features, (3, 3), dtype=self.dtype, name=f"conv_{i}")(x)
            x = nn.gelu(GroupNorm(8, dtype=self.dtype, name=f"norm_{i}")(x))
        return x


class ContextUNet(nn.Module):
    """U-Net whose bottleneck is one vector per image; time and context enter on the way up as context·u + time.

    `network(x, t, cond)` maps images (b, h, w, c), with sides divisible by 4, to float32 (b, h, w, out_channels or c).
    t is (b,) or (), in [0, 1] or EDM's c_noise. `cond` follows `condition_vector`. The bottleneck ties the parameters
    to the image size.

    There are four differences to the course "How diffusion models work" (DeepLearning.AI): GroupNorm replaces
    BatchNorm, pooling takes the mean, the shortcut of the first block is learned, and the output starts at zero.

    Args:
        features: channels of the first level; the second has twice as many.
        num_classes: number of classes, if `cond` holds labels.
        cond_dim: dimension of `cond`, if it holds vectors.
        out_channels: channels of the output; None means those of x.
        dtype: type that convolutions compute in; parameters, norms and the output are float32.

    Raises:
        ValueError: if x is not (b, h, w, c) floating point with sides divisible by 4, or t or cond has a wrong shape or
            dtype.
    """

    features: int = 64
    num_classes: int | None = None
    cond_dim: int | None = None
    out_channels: int | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        x: Shaped[ArrayLike, "b *event"],
        t: Shaped[ArrayLike, "..."],
        cond: Shaped[ArrayLike, "..."] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "b h w out"]:
        """Evaluate the network; `train` has no effect, as there is neither dropout nor batch statistics."""
        x = jnp.asarray(x)
        height, width = image_size(x)
        if height % 4 or width % 4 or 0 in (height, width):
            raise ValueError(f"two poolings need sides divisible by 4, got {height}×{width}; pad images or use UNet")
        n, batch = self.features, x.shape[0]
        time = broadcast_times(t, batch)[:, None]
        context = condition_vector(cond, batch, num_classes=self.num_classes, cond_dim=self.cond_dim)

        def block(h, features, name):
            return ConvBlock(features, self.dtype, name=name)(h)

        def modulate(u, name):
            features = u.shape[-1]
            # Gains start at one, so that a null context does not multiply the features by zero.
            if context is not None:
                gain = EmbeddingMLP(features, nn.gelu, bias_init=nn.initializers.ones, name=f"context_{name}")(context)
                u = gain[:, None, None].astype(u.dtype) * u
            shift = EmbeddingMLP(features, nn.gelu, hidden_bias_init=symmetric_uniform, name=f"time_{name}")(time)
            return u + shift[:, None, None].astype(u.dtype)

        def up(u, skip, features, name):
            u = TransposedConv(features, dtype=self.dtype, name=f"{name}_upsample")(jnp.concatenate([u, skip], -1))
            return block(block(u, features, f"{name}_1"), features, f"{name}_2")

        shortcut = nn.Dense(n, dtype=self.dtype, name="shortcut")(x)
        first = (shortcut + block(x, n, "in")) / 2**0.5
        down1 = average_pool(block(block(first, n, "down1_1"), n, "down1_2"))
        down2 = average_pool(block(block(down1, 2 * n, "down2_1"), 2 * n, "down2_2"))

        u = nn.gelu(down2.mean((1, 2), keepdims=True))
        u = TransposedConv(2 * n, (height // 4, width // 4), dtype=self.dtype, name="bottleneck")(u)
        u = nn.gelu(GroupNorm(8, dtype=self.dtype, name="bottleneck_norm")(u))
        u = up(modulate(u, "1"), down2, n, "up1")
        u = up(modulate(u, "2"), down1, n, "up2")

        u = Conv(n, (3, 3), dtype=self.dtype, name="out_1")(jnp.concatenate([u, first], axis=-1))
        u = nn.gelu(GroupNorm(8, dtype=jnp.float32, name="out_norm")(u))
        out_channels = x.shape[-1] if self.out_channels is None else self.out_channels
        return Conv(out_channels, (3, 3), kernel_init=nn.initializers.zeros, name="out_2")(u)

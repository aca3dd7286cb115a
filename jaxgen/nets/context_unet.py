"""The small context U-Net of the sprites course."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.embedding import EmbeddingMLP, condition_vector, time_vector
from jaxgen.nets.normalization import GroupNorm
from jaxgen.nets.resampling import TransposedConv, average_pool, image_size


def symmetric_uniform(key, shape, dtype=jnp.float32):
    """Uniform on [-1, 1]: spreads the kinks of the hidden units over the range of t instead of stacking them at 0."""
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


class ConvBlock(nn.Module):
    """Two 3×3 convolutions, each normalised and passed through GELU."""

    features: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w features"]:
        """Map (b, h, w, c) to (b, h, w, features)."""
        for i in (1, 2):
            x = nn.Conv(self.features, (3, 3), dtype=self.dtype, name=f"conv_{i}")(x)
            x = nn.gelu(GroupNorm(8, dtype=self.dtype, name=f"norm_{i}")(x))
        return x


class ContextUNet(nn.Module):
    """U-Net squeezed to one vector; on the way up, context c and time τ enter as c·u + τ (the sprites course).

    `network(x, t, cond)` maps images x (b, h, w, c), sides divisible by 4, to float32 (b, h, w, out_channels or c).
    t is (b,) or (), in [0, 1] or EDM's c_noise. `cond` follows `condition_vector`. It has 1.48 million parameters for
    64 features at 16×16; the transposed convolution of the bottleneck ties them to the image size.
    Four things differ from the course: GroupNorm stands for BatchNorm (no running statistics, and no example sees its
    neighbours), pooling takes the mean, the first block's shortcut is learned, and the output starts at zero.
    Raises ValueError for images of other sizes or not (b, h, w, c) floats, and t or cond of the wrong form.
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
        """Evaluate the network; `train` changes nothing, as there is neither dropout nor batch statistics."""
        x = jnp.asarray(x)
        height, width = image_size(x)
        if height % 4 or width % 4 or 0 in (height, width):
            raise ValueError(
                f"two poolings need sides divisible by 4, got {height}×{width}; pad the images or use UNet"
            )
        n, batch = self.features, x.shape[0]
        time = time_vector(t, batch)[:, None]
        context = condition_vector(cond, batch, num_classes=self.num_classes, cond_dim=self.cond_dim)

        def block(h, features, name):
            return ConvBlock(features, self.dtype, name=name)(h)

        def modulate(u, name):
            features = u.shape[-1]
            # Gains start at one: a null context must not begin by multiplying the features with zero.
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

        u = nn.Conv(n, (3, 3), dtype=self.dtype, name="out_1")(jnp.concatenate([u, first], axis=-1))
        u = nn.gelu(GroupNorm(8, dtype=jnp.float32, name="out_norm")(u))
        out_channels = x.shape[-1] if self.out_channels is None else self.out_channels
        return nn.Conv(out_channels, (3, 3), kernel_init=nn.initializers.zeros, name="out_2")(u)

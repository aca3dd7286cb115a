"""Networks of tokens: the U-Net for images, and a stack of dilated convolutions for text."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nets import MLP, UNet, sinusoidal_embedding


class ImageTokens(nn.Module):
    """The U-Net over one-hot tokens; logits (b, h, w, categories)."""

    states: int
    categories: int
    channels: int
    multipliers: Sequence[int]

    @nn.compact
    def __call__(self, x: jax.Array, t: jax.Array, cond: None = None) -> jax.Array:
        """Evaluate the network at tokens (b, h, w)."""
        levels = {"attention_levels": ()} if len(self.multipliers) == 1 else {}
        # blocks of 2 × 2 pixels are one position, at a quarter of the cost
        unet = UNet(self.channels, self.multipliers, out_channels=self.categories, patch=2, **levels)
        return unet(2.0 * jax.nn.one_hot(x, self.states), t)


class TextTokens(nn.Module):
    """Residual blocks of dilated convolutions over embedded tokens; logits (b, length, categories)."""

    states: int
    categories: int
    width: int
    dilations: Sequence[int]

    @nn.compact
    def __call__(self, x: jax.Array, t: jax.Array, cond: None = None) -> jax.Array:
        """Evaluate the network at tokens (b, length)."""
        time = nn.silu(nn.Dense(self.width)(sinusoidal_embedding(t, self.width + self.width % 2)))
        hidden = nn.Embed(self.states, self.width)(x)
        for dilation in self.dilations:
            scale, shift = jnp.split(nn.Dense(2 * self.width)(time)[:, None], 2, axis=-1)
            update = nn.LayerNorm(use_bias=False, use_scale=False)(hidden) * (1 + scale) + shift
            update = nn.Conv(2 * self.width, (5,), kernel_dilation=(dilation,))(update)
            value, gate = jnp.split(update, 2, axis=-1)
            hidden += nn.Dense(self.width)(value * nn.silu(gate))
        return nn.Dense(self.categories, kernel_init=nn.initializers.zeros)(nn.LayerNorm()(hidden))


class ToyTokens(nn.Module):
    """A multilayer perceptron over one-hot tokens; logits (b, length, categories)."""

    states: int
    categories: int

    @nn.compact
    def __call__(self, x: jax.Array, t: jax.Array, cond: None = None) -> jax.Array:
        """Evaluate the network at tokens (b, length)."""
        return MLP(96, 2, out_channels=self.categories)(jax.nn.one_hot(x, self.states), t)

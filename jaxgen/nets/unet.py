"""The U-Net of DDPM and ADM."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.attention import CrossAttention, SelfAttention
from jaxgen.nets.convolution import Conv
from jaxgen.nets.embedding import EmbeddingMLP, TimeConditionEmbedding
from jaxgen.nets.normalization import GroupNorm
from jaxgen.nets.resampling import depth_to_space, image_size, space_to_depth, upsample_nearest
from jaxgen.nets.sequence import SequenceEmbedding


class ResidualBlock(nn.Module):
    """Residual block of two convolutions; the embedding scales and shifts the second norm."""

    channels: int
    dropout: float = 0.0
    max_groups: int = 32
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], embedding: Float[Array, "b e"], train: bool = False
    ) -> Float[Array, "b h w channels"]:
        """Map (b, h, w, c) to (b, h, w, channels); only the shortcut contributes at initialisation."""
        scale, shift = jnp.split(nn.Dense(2 * self.channels, name="modulate")(embedding), 2, axis=-1)
        hidden = nn.silu(GroupNorm(self.max_groups, dtype=self.dtype, name="norm_1")(x))
        hidden = Conv(self.channels, (3, 3), dtype=self.dtype, name="conv_1")(hidden)
        hidden = nn.silu(GroupNorm(self.max_groups, dtype=self.dtype, name="norm_2")(hidden, scale, shift))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        out = Conv(self.channels, (3, 3), kernel_init=nn.initializers.zeros, dtype=self.dtype, name="conv_2")
        if x.shape[-1] != self.channels:
            x = nn.Dense(self.channels, dtype=self.dtype, name="shortcut")(x)
        return x + out(hidden)


class UNet(nn.Module):
    """U-Net with residual blocks, adaptive GroupNorm and attention.

    `network(x, t, cond)` maps images (b, h, w, c) to float32 (b, h, w, out_channels or c). t is (b,) or (), in [0, 1]
    or EDM's c_noise. The output is zero at initialisation. Every image size from 2^(levels-1) works: a level has half
    the size of the one before, rounded up. `cond` is one of:

    * labels (b,) with `num_classes`, or vectors (b, cond_dim) with `cond_dim`, as in `condition_vector`;
    * texts (b, sequence_length) with `num_tokens` and `sequence_length`, as in `sequence_tokens`. The text reaches the
      network through the time embedding (`sequence_vector`), by cross-attention (`cross_attention_levels`), or both.

    Args:
        channels: base number of channels.
        multipliers: level i has `channels`·`multipliers`[i] channels.
        blocks: residual blocks per level on the way down; the way up has one more.
        attention_levels: levels with self-attention, which costs the square of the pixels. Negative levels count from
            the coarsest, to which the middle block belongs.
        head_channels: largest width of an attention head.
        num_classes: number of classes, if `cond` holds labels.
        cond_dim: dimension of `cond`, if it holds vectors.
        out_channels: channels of the output; None means those of x.
        dropout: dropout rate, applied with `train=True` and an rng named "dropout".
        max_groups: largest number of groups of the GroupNorms.
        dtype: type that convolutions and attention compute in; parameters, norms, embeddings and the output layer are
            float32.
        num_tokens: number of different characters, if `cond` holds texts.
        sequence_length: number of characters of a text.
        sequence_vector: add the projected text to the time embedding.
        cross_attention_levels: levels whose blocks attend to the text.
        patch: side of the pixel blocks that become the channels of one position. The network then works on an image
            patch² times smaller, at about that fraction of the cost. It must divide both sides.
        remat: recompute the blocks in the backward pass, which saves memory on a GPU at the cost of more work.

    Raises:
        ValueError: if there are no levels or one is out of range, x is too small, not divisible by `patch` or not
            (b, h, w, c) floating point, t or cond has a wrong shape or dtype, or settings contradict each other.

    Reference:
        Ho et al. 2020; Dhariwal & Nichol 2021. `remat`: Chen et al. 2016.
    """

    channels: int = 64
    multipliers: Sequence[int] = (1, 2, 2)
    blocks: int = 1
    attention_levels: Sequence[int] = (-1,)
    head_channels: int = 64
    num_classes: int | None = None
    cond_dim: int | None = None
    out_channels: int | None = None
    dropout: float = 0.0
    max_groups: int = 32
    dtype: DTypeLike | None = None
    num_tokens: int | None = None
    sequence_length: int | None = None
    sequence_vector: bool = True
    cross_attention_levels: Sequence[int] = ()
    patch: int = 1
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        x: Shaped[ArrayLike, "b *event"],
        t: Shaped[ArrayLike, "..."],
        cond: Shaped[ArrayLike, "..."] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "b h w out"]:
        """Evaluate the network."""
        x = jnp.asarray(x)
        attends, reads = self._levels("attention_levels"), self._levels("cross_attention_levels")
        self._check_sequence()
        levels, channels = len(attends), x.shape[-1]
        image_size(x)
        x = space_to_depth(x, self.patch)
        if min(image_size(x)) < 2 ** (levels - 1):
            raise ValueError(
                f"{levels} levels halve the image {levels - 1} times, which needs a side of at least "
                f"{2 ** (levels - 1)}, got {x.shape[1]}×{x.shape[2]}; use fewer multipliers"
            )
        embedding = TimeConditionEmbedding(4 * self.channels, self.num_classes, self.cond_dim, name="embedding")
        if self.num_tokens is None:
            emb, text = embedding(t, cond, x.shape[0]), None
        else:
            features = 4 * self.channels
            text = SequenceEmbedding(features, self.num_tokens, self.sequence_length, name="text")(cond, x.shape[0])
            emb = embedding(t, None, x.shape[0])
            if self.sequence_vector:
                emb += EmbeddingMLP(features, name="text_vector")(text.reshape(x.shape[0], -1))
        emb = nn.silu(emb)

        widths = [self.channels * multiplier for multiplier in self.multipliers]

        def conv(h, features, name, strides=1):
            return Conv(features, (3, 3), strides, dtype=self.dtype, name=name)(h)

        residual, attention, cross_attention = ResidualBlock, SelfAttention, CrossAttention
        if self.remat:
            residual = nn.remat(ResidualBlock, static_argnums=(3,))
            attention, cross_attention = nn.remat(SelfAttention), nn.remat(CrossAttention)

        def block(h, level, name, attend, read):
            h = residual(widths[level], self.dropout, self.max_groups, self.dtype, name=name)(h, emb, train)
            if attend:
                h = attention(self.head_channels, self.max_groups, self.dtype, name=f"{name}_attention")(h)
            if read:
                cross = cross_attention(self.head_channels, self.max_groups, self.dtype, name=f"{name}_cross_attention")
                h = cross(h, text)
            return h

        h = conv(x, widths[0], "in")
        skips = [h]
        for level in range(levels):
            if level > 0:
                h = conv(h, widths[level - 1], f"downsample_{level}", strides=2)
                skips.append(h)
            for i in range(self.blocks):
                h = block(h, level, f"down_{level}_{i}", attends[level], reads[level])
                skips.append(h)

        h = block(h, levels - 1, "middle_0", attends[-1], reads[-1])
        h = block(h, levels - 1, "middle_1", False, False)

        for level in reversed(range(levels)):
            for i in range(self.blocks + 1):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = block(h, level, f"up_{level}_{i}", attends[level], reads[level])
            if level > 0:
                # A level of odd size was halved to the next larger integer: cut the extra row and column.
                h = upsample_nearest(h)[:, : skips[-1].shape[1], : skips[-1].shape[2]]
                h = conv(h, widths[level], f"upsample_{level}")

        # The output layer is always float32: the 8 bits of bfloat16 would add error to every sampling step.
        h = nn.silu(GroupNorm(self.max_groups, dtype=jnp.float32, name="out_norm")(h))
        out_channels = self.patch**2 * (channels if self.out_channels is None else self.out_channels)
        out = Conv(out_channels, (3, 3), kernel_init=nn.initializers.zeros, name="out")
        return depth_to_space(out(h), self.patch)

    def _levels(self, name: str) -> list[bool]:
        """Return for each level whether the setting `name` lists it."""
        levels, listed = len(self.multipliers), getattr(self, name)
        if levels == 0:
            raise ValueError("multipliers must name at least one level, got none")
        if outside := [i for i in listed if not -levels <= i < levels]:
            raise ValueError(f"{name} {outside} out of range: multipliers give levels 0 to {levels - 1}")
        chosen = {i % levels for i in listed}
        return [level in chosen for level in range(levels)]

    def _check_sequence(self) -> None:
        """Raise ValueError if the settings of texts contradict each other."""
        if (self.num_tokens is None) != (self.sequence_length is None):
            raise ValueError(
                f"a text needs both num_tokens and sequence_length, got {self.num_tokens} and {self.sequence_length}"
            )
        if self.num_tokens is None and self.cross_attention_levels:
            raise ValueError("cross_attention_levels attend to a text: set num_tokens and sequence_length")
        if self.num_tokens is not None and (self.num_classes is not None or self.cond_dim is not None):
            raise ValueError("set num_tokens for texts, num_classes for labels or cond_dim for vectors, only one")
        if self.num_tokens is not None and not (self.sequence_vector or self.cross_attention_levels):
            raise ValueError("nothing reads the text: set sequence_vector or name cross_attention_levels")

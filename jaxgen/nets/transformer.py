"""Diffusion transformers (DiT) for images, for sequences and for sets."""

from collections.abc import Sequence
from typing import Literal, get_args

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Bool, Float, Shaped

from jaxgen.nets.positions import rotary_angles, sincos_positions
from jaxgen.nets.resampling import depth_to_space, image_size, space_to_depth
from jaxgen.nets.transformer_block import Implementation, TransformerBlock, modulated_norm
from jaxgen.nets.transformer_conditions import TransformerConditions

Positions = Literal["sincos", "learned", "none"]

DIT_SIZES: dict[str, dict[str, int]] = {
    "S": {"width": 384, "depth": 12, "heads": 6},
    "B": {"width": 768, "depth": 12, "heads": 12},
    "L": {"width": 1024, "depth": 24, "heads": 16},
    "XL": {"width": 1152, "depth": 28, "heads": 16},
}
"""The sizes of Peebles & Xie 2023, table 1, as arguments: `DiT(**DIT_SIZES["S"], patch=2)` is DiT-S/2."""


class _Transformer(nn.Module):
    """Blocks from tokens (b, n, width) to outputs (b, n, features), for each kind of data."""

    width: int = 384
    depth: int = 12
    heads: int = 6
    mlp_ratio: int = 4
    num_classes: int | None = None
    cond_dim: int | None = None
    out_channels: int | None = None
    dtype: DTypeLike | None = None
    num_tokens: int | None = None
    sequence_length: int | None = None
    sequence_vector: bool = True
    cross_attention: bool = True
    qk_norm: bool = False
    time_scale: float = 1000.0
    remat: bool = False
    attention: Implementation | None = None

    def _read(self, x: Array) -> Array:
        """Map what a token holds to the width of the transformer."""
        return nn.Dense(self.width, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype, name="in")(x)

    def _positions(self, tokens: Array, shape: Sequence[int], kind: str) -> Array:
        """Add the positions of a grid of this shape to tokens (b, n, width)."""
        if kind not in get_args(Positions):
            raise ValueError(f'positions are "sincos", "learned" or "none", got {kind!r}')
        if kind == "none":
            return tokens
        if kind == "sincos":
            return tokens + sincos_positions(shape, self.width).astype(tokens.dtype)
        place = self.variable("params", "positions", lambda: sincos_positions(shape, self.width)).value
        if place.shape[0] != tokens.shape[1]:
            raise ValueError(
                f"the learned positions are those of {place.shape[0]} tokens, got {tokens.shape[1]}; a network with "
                'positions="sincos" takes any size'
            )
        return tokens + place.astype(tokens.dtype)

    def _angles(self, shape: Sequence[int]) -> Array:
        """The angles of rotary positions on a grid of this shape."""
        return rotary_angles(shape, self.width // self.heads)

    def _transform(
        self,
        tokens: Array,
        t: Shaped[ArrayLike, "..."],
        cond: Shaped[ArrayLike, "..."] | None,
        features: int,
        *,
        angles: Array | None = None,
        mask: Array | None = None,
    ) -> Array:
        """Pass tokens (b, n, width) through the blocks and the output layer, to float32 (b, n, features)."""
        conditions = TransformerConditions(
            self.width, self.num_classes, self.cond_dim, self.num_tokens, self.sequence_length, self.sequence_vector,
            self.time_scale, name="conditions",
        )  # fmt: skip
        embedding, text = conditions(t, cond, tokens.shape[0])
        embedding = nn.silu(embedding)
        # One block in a loop, not `depth` of them: it compiles in a time that does not depend on the depth.
        block = nn.remat(TransformerBlock, prevent_cse=False) if self.remat else TransformerBlock
        blocks = nn.scan(
            block, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=nn.broadcast, length=self.depth
        )
        settings = self.heads, self.mlp_ratio, self.qk_norm, self.dtype, self.attention
        text = text if self.cross_attention else None
        tokens, _ = blocks(*settings, name="blocks")(tokens, embedding, text, angles, mask)

        # The output layer is always float32: the 8 bits of bfloat16 would add error to every sampling step.
        zeros = nn.initializers.zeros
        shift, scale = jnp.split(nn.Dense(2 * self.width, kernel_init=zeros, name="modulate")(embedding), 2, axis=-1)
        return nn.Dense(features, kernel_init=zeros, name="out")(modulated_norm(tokens, shift, scale))

    def _check(self) -> None:
        """Raise ValueError if settings contradict each other."""
        if min(self.width, self.depth, self.heads, self.mlp_ratio) < 1:
            raise ValueError(
                f"width, depth, heads and mlp_ratio are at least 1, got {self.width}, {self.depth}, {self.heads} and "
                f"{self.mlp_ratio}"
            )
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads share the width equally: it must be a multiple, got {self.width}")
        if self.attention not in (None, *get_args(Implementation)):
            raise ValueError(f'attention is None, "xla" or "cudnn", got {self.attention!r}')
        if self.attention == "cudnn":
            if self.dtype is None or jnp.dtype(self.dtype) not in (jnp.bfloat16, jnp.float16):
                raise ValueError(
                    f'attention="cudnn" computes in bfloat16 or float16, got dtype={self.dtype}; set dtype'
                )
            if self.width // self.heads % 8:
                raise ValueError(
                    f'attention="cudnn" needs heads of a width that is a multiple of 8, got {self.width // self.heads}'
                )
        if (self.num_tokens is None) != (self.sequence_length is None):
            raise ValueError(
                f"a text needs both num_tokens and sequence_length, got {self.num_tokens} and {self.sequence_length}"
            )
        if self.num_tokens is not None and (self.num_classes is not None or self.cond_dim is not None):
            raise ValueError("set num_tokens for texts, num_classes for labels or cond_dim for vectors, only one")
        if self.num_tokens is not None and not (self.sequence_vector or self.cross_attention):
            raise ValueError("nothing reads the text: set sequence_vector or cross_attention")


class DiT(_Transformer):
    """Diffusion transformer for images, whose tokens are patches.

    `network(x, t, cond)` maps images (b, h, w, c) to float32 (b, h, w, out_channels or c), as `UNet` does. t is (b,) or
    (), in [0, 1] or EDM's c_noise. The output is zero at initialisation, and each block is the identity. `cond` is one
    of:

    * labels (b,) with `num_classes`: 0 … num_classes-1; num_classes, negative labels and None are null;
    * vectors (b, cond_dim) with `cond_dim`, as in `condition_vector`;
    * texts (b, sequence_length) with `num_tokens` and `sequence_length`, as in `sequence_tokens`.

    The parameters of the blocks have a leading axis of length `depth`.

    Args:
        width: width of a token.
        depth: number of blocks.
        heads: number of heads of the attention, which divides the width.
        mlp_ratio: width of the MLPs' hidden layers, in multiples of `width`.
        num_classes: number of classes, if `cond` holds labels.
        cond_dim: dimension of `cond`, if it holds vectors.
        out_channels: channels of the output; None means those of x.
        dtype: type that projections, attention and MLPs compute in; parameters, norms, embeddings and the output layer
            are float32.
        num_tokens: number of different characters, if `cond` holds texts.
        sequence_length: number of characters of a text.
        sequence_vector: add the projected text to the embedding of the time, which modulates all blocks.
        cross_attention: every block attends to the text.
        qk_norm: normalise queries and keys, which keeps the attention's logits bounded in long or bfloat16 training.
        time_scale: factor of t before its sines and cosines. 1000 is that of DDPM's steps; 1 keeps the derivative by t
            small, for losses that take it.
        remat: recompute the blocks in the backward pass, which saves memory on a GPU at the cost of more work.
        attention: the implementation of `jax.nn.dot_product_attention` among tokens: None, "xla", or "cudnn" on a GPU
            of NVIDIA. That needs a half-precision `dtype`, heads of a width that is a multiple of 8, and for training
            an even number of tokens.
        patch: side of the square of pixels that is one token. It must divide both sides of the image.
        positions: "sincos" adds fixed sines and cosines, for any size of image; "learned" adds parameters that begin
            there, for one size; "none" adds nothing.
        rotary: rotate queries and keys by row and column, so that attention sees differences of positions.

    Raises:
        ValueError: if `patch` does not divide the sides, x is not (b, h, w, c) floating point, t or cond has a wrong
            shape or dtype, the width suits neither heads nor positions, or settings contradict each other.

    Reference:
        Peebles & Xie 2023, "Scalable Diffusion Models with Transformers".
    """

    patch: int = 2
    positions: Positions = "sincos"
    rotary: bool = False

    @nn.compact
    def __call__(
        self,
        x: Shaped[ArrayLike, "b *event"],
        t: Shaped[ArrayLike, "..."],
        cond: Shaped[ArrayLike, "..."] | None = None,
    ) -> Float[Array, "b h w out"]:
        """Evaluate the network."""
        self._check()
        x = jnp.asarray(x)
        image_size(x)
        channels = x.shape[-1] if self.out_channels is None else self.out_channels
        x = space_to_depth(x, self.patch)
        batch, *grid, pixels = x.shape
        tokens = self._positions(self._read(x.reshape(batch, -1, pixels)), grid, self.positions)
        angles = self._angles(grid) if self.rotary else None
        out = self._transform(tokens, t, cond, self.patch**2 * channels, angles=angles)
        return depth_to_space(out.reshape(batch, *grid, -1), self.patch)


class SequenceDiT(_Transformer):
    """Diffusion transformer for sequences: signals, or tokens of a vocabulary.

    `network(x, t, cond)` maps signals (b, length, c) to float32 (b, length, out_channels or c); with `vocabulary` it
    maps integers (b, length) to logits (b, length, out_channels or vocabulary), of which a token outside the vocabulary
    makes NaN. `network(x, t, cond, mask=mask)` takes sequences of several lengths: a boolean mask (b, length) is False
    at padding, which influences nothing and whose output is 0.

    Args:
        patch: number of neighbours in a signal that are one token. It must divide the length.
        positions: as in `DiT`, along one axis.
        rotary: as in `DiT`, along one axis.
        vocabulary: number of different tokens; None for signals.
        width: this and all further arguments are those of `DiT`.

    Raises:
        ValueError: if x has another shape or dtype, `patch` does not divide the length, and as `DiT` does.

    Reference:
        Peebles & Xie 2023; for tokens: Lou, Meng & Ermon 2024 (SEDD).
    """

    patch: int = 1
    positions: Positions = "sincos"
    rotary: bool = False
    vocabulary: int | None = None

    @nn.compact
    def __call__(
        self,
        x: Shaped[ArrayLike, "b *event"],
        t: Shaped[ArrayLike, "..."],
        cond: Shaped[ArrayLike, "..."] | None = None,
        *,
        mask: Shaped[ArrayLike, "..."] | None = None,
    ) -> Float[Array, "b length out"]:
        """Evaluate the network."""
        self._check()
        x = jnp.asarray(x)
        if self.vocabulary is None:
            _check_points(x, "signals (batch, length, channels)")
        elif x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.integer):
            raise ValueError(f"with vocabulary set, x holds integer tokens (batch, length), got {x.dtype} {x.shape}")
        elif self.patch != 1:
            raise ValueError(f"with vocabulary set, each token is read by itself: patch must be 1, got {self.patch}")
        batch, length = x.shape[:2]
        if self.patch < 1 or length % self.patch:
            raise ValueError(f"pieces of {self.patch} do not fill a sequence of length {length}")
        mask = _checked_mask(mask, batch, length)
        if self.vocabulary is None:
            tokens = self._read(_hide(x, mask).reshape(batch, length // self.patch, -1))
        else:
            tokens = self._look_up(x, mask)
        channels = self.out_channels or self.vocabulary or x.shape[-1]
        grid = tokens.shape[1:2]
        seen = None if mask is None else mask.reshape(batch, *grid, self.patch).any(-1)
        angles = self._angles(grid) if self.rotary else None
        tokens = self._positions(tokens, grid, self.positions)
        out = self._transform(tokens, t, cond, self.patch * channels, angles=angles, mask=seen)
        return _hide(out.reshape(batch, length, channels), mask)

    def _look_up(self, x: Array, mask: Array | None) -> Array:
        """Look up the vectors of tokens (b, length) of the vocabulary; others, where they are seen, give NaN."""
        table = self.param("vocabulary_table", nn.initializers.normal(0.02), (self.vocabulary, self.width))
        outside = (x < 0) | (x >= self.vocabulary)
        if mask is not None:
            outside &= mask
        vectors = jnp.where(outside[..., None], jnp.nan, jnp.take(table, x, axis=0, mode="clip"))
        return vectors if self.dtype is None else vectors.astype(self.dtype)


class SetDiT(_Transformer):
    """Diffusion transformer for sets of points: without positions, permuting the points permutes the output.

    `network(x, t, cond)` maps sets (b, points, d) to float32 (b, points, out_channels or d).
    `network(x, t, cond, mask=mask)` takes sets of several sizes: a boolean mask (b, points) is False at padding, which
    influences nothing and whose output is 0.

    Args:
        width: this and all further arguments are those of `DiT`, without those of patches and positions.

    Raises:
        ValueError: if x is not (b, points, d) floating point, and as `DiT` does.

    Reference:
        Peebles & Xie 2023; attention as a map of sets: Lee et al. 2019, "Set Transformer", §3.1.
    """

    @nn.compact
    def __call__(
        self,
        x: Shaped[ArrayLike, "b *event"],
        t: Shaped[ArrayLike, "..."],
        cond: Shaped[ArrayLike, "..."] | None = None,
        *,
        mask: Shaped[ArrayLike, "..."] | None = None,
    ) -> Float[Array, "b points out"]:
        """Evaluate the network."""
        self._check()
        x = jnp.asarray(x)
        _check_points(x, "sets of points (batch, points, d)")
        mask = _checked_mask(mask, *x.shape[:2])
        features = x.shape[-1] if self.out_channels is None else self.out_channels
        return _hide(self._transform(self._read(_hide(x, mask)), t, cond, features, mask=mask), mask)


def _check_points(x: Array, what: str) -> None:
    """Raise ValueError unless x is a 3-D array in floating point."""
    if x.ndim != 3:
        raise ValueError(f"expected a batch of {what}, got shape {x.shape}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"expected floating-point {what}, got {x.dtype}")


def _checked_mask(mask: Shaped[ArrayLike, "..."] | None, batch: int, length: int) -> Bool[Array, "b length"] | None:
    """Return the mask as an array; raise ValueError unless it is boolean (batch, length)."""
    if mask is None:
        return None
    mask = jnp.asarray(mask)
    if mask.shape != (batch, length) or mask.dtype != bool:
        raise ValueError(
            f"a mask is boolean, of shape ({batch}, {length}), True where x holds data, got {mask.dtype} {mask.shape}"
        )
    return mask


def _hide(x: Array, mask: Array | None) -> Array:
    """Replace what the mask excludes by zeros, whatever it holds."""
    return x if mask is None else jnp.where(mask[..., None], x, 0)

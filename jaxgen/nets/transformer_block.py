"""The block of a diffusion transformer: attention and an MLP, modulated by the embedding of time and condition."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from jaxgen.nets.positions import rotate

Implementation = Literal["xla", "cudnn"]

_XAVIER = nn.initializers.xavier_uniform()


def layer_norm(x: Float[Array, "b n d"], epsilon: float = 1e-6) -> Float[Array, "b n d"]:
    """Normalise each token to mean 0 and variance 1, in float32, without learned scale or shift."""
    x = x.astype(jnp.float32)
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + epsilon)


def modulated_norm(
    x: Float[Array, "b n d"], shift: Float[Array, "b d"], scale: Float[Array, "b d"]
) -> Float[Array, "b n d"]:
    """Compute LN(x)·(1 + scale) + shift in float32, with one scale and shift per example (Peebles & Xie 2023)."""
    return layer_norm(x) * (1 + scale[:, None]) + shift[:, None]


class MultiHeadAttention(nn.Module):
    """Multi-head attention among tokens, or from tokens to a sequence.

    Args:
        heads: number of heads, which divides the width of the tokens.
        qk_norm: normalise queries and keys by their root mean square and a learned scale, which bounds the logits.
        out_init: initialiser of the output's kernel.
        dtype: type that the projections compute in. The softmax is float32.
        implementation: of `jax.nn.dot_product_attention`.

    Reference:
        Vaswani et al. 2017, §3.2. `qk_norm`: Dehghani et al. 2023, §2; Esser et al. 2024, §5.3.2.
    """

    heads: int
    qk_norm: bool = False
    out_init: nn.initializers.Initializer = _XAVIER
    dtype: DTypeLike | None = None
    implementation: Implementation | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        sequence: Float[Array, "b length e"] | None = None,
        *,
        angles: Float[Array, "n half"] | None = None,
        mask: Bool[Array, "b keys"] | None = None,
    ) -> Float[Array, "b n d"]:
        """Attend from x (b, n, d) to itself or to `sequence`; `angles` rotate, and `mask` is False at unseen keys."""
        width = x.shape[-1]
        per_head = (self.heads, width // self.heads)

        def project(inputs: Array, count: int, name: str) -> list[Array]:
            dense = nn.DenseGeneral((count, *per_head), kernel_init=_XAVIER, dtype=self.dtype, name=name)
            return [each[:, :, 0] for each in jnp.split(dense(inputs), count, axis=2)]

        if sequence is None:
            queries, keys, values = project(x, 3, "qkv")
        else:
            (queries,), (keys, values) = project(x, 1, "queries"), project(sequence, 2, "keys_values")
        if self.qk_norm:
            queries = nn.RMSNorm(dtype=self.dtype, name="norm_queries")(queries)
            keys = nn.RMSNorm(dtype=self.dtype, name="norm_keys")(keys)
        if angles is not None:
            queries, keys = rotate(queries, angles), rotate(keys, angles)
        if mask is not None:  # for each query, as cuDNN expects it
            mask = jnp.broadcast_to(mask[:, None, None], (x.shape[0], 1, x.shape[1], keys.shape[1]))
        hidden = jax.nn.dot_product_attention(queries, keys, values, mask=mask, implementation=self.implementation)
        return nn.Dense(width, kernel_init=self.out_init, dtype=self.dtype, name="out")(hidden.reshape(x.shape))


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention to a text if there is one, and an MLP; it is the identity at initialisation.

    The embedding shifts and scales the norm before attention and MLP, and gates what they add (adaLN-zero).

    Args:
        heads: number of heads.
        mlp_ratio: width of the MLP's hidden layer, in multiples of the tokens'.
        qk_norm: as in `MultiHeadAttention`.
        dtype: type that projections, attention and MLP compute in; norms and modulation are float32.
        implementation: of the self-attention, as in `MultiHeadAttention`.

    Reference:
        Peebles & Xie 2023, §3.2; cross-attention: Chen et al. 2023 (PixArt-α), §2.3.
    """

    heads: int
    mlp_ratio: int = 4
    qk_norm: bool = False
    dtype: DTypeLike | None = None
    implementation: Implementation | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        embedding: Float[Array, "b e"],
        text: Float[Array, "b length k"] | None = None,
        angles: Float[Array, "n half"] | None = None,
        mask: Bool[Array, "b n"] | None = None,
    ) -> tuple[Float[Array, "b n d"], None]:
        """Map tokens (b, n, d) to tokens; None follows them, as `nn.scan` expects."""
        width = x.shape[-1]
        modulate = nn.Dense(6 * width, kernel_init=nn.initializers.zeros, name="modulate")
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = jnp.split(modulate(embedding), 6, axis=-1)

        def attention(name: str, **options) -> MultiHeadAttention:
            return MultiHeadAttention(self.heads, self.qk_norm, dtype=self.dtype, name=name, **options)

        among = attention("attention", implementation=self.implementation)
        hidden = among(modulated_norm(x, shift_1, scale_1), angles=angles, mask=mask)
        x += (gate_1[:, None] * hidden).astype(x.dtype)
        if text is not None:
            # A text is short, and may have an odd length, which cuDNN's attention does not take.
            read = attention("cross_attention", out_init=nn.initializers.zeros)
            x += read(layer_norm(x), text).astype(x.dtype)
        hidden = modulated_norm(x, shift_2, scale_2)
        hidden = nn.Dense(self.mlp_ratio * width, kernel_init=_XAVIER, dtype=self.dtype, name="mlp_1")(hidden)
        hidden = nn.Dense(width, kernel_init=_XAVIER, dtype=self.dtype, name="mlp_2")(nn.gelu(hidden))
        return x + (gate_2[:, None] * hidden).astype(x.dtype), None

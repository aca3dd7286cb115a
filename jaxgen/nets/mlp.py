"""A time-conditioned MLP for points, latent codes and tabular data."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from jaxgen.nets.embedding import TimeConditionEmbedding


class MLP(nn.Module):
    """Residual MLP over the flattened event; time and condition scale and shift each block.

    `network(x, t, cond)` maps x (b, *event) to float32 of the same shape, or to (b, *event[:-1], out_channels). t is
    (b,) or (), in [0, 1] or EDM's c_noise. `cond` follows `condition_vector`. The output is zero at initialisation.

    Args:
        width: width of the hidden layers.
        depth: number of residual blocks.
        num_classes: number of classes, if `cond` holds labels.
        cond_dim: dimension of `cond`, if it holds vectors.
        out_channels: size of the last axis of the output; None means that of x.
        dropout: dropout rate, applied with `train=True` and an rng named "dropout".
        dtype: type that the hidden layers compute in.

    Raises:
        ValueError: if x is not floating point or has no event axis that `out_channels` could replace, or t or cond has
            a wrong shape or dtype.
    """

    width: int = 128
    depth: int = 3
    num_classes: int | None = None
    cond_dim: int | None = None
    out_channels: int | None = None
    dropout: float = 0.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        x: Shaped[ArrayLike, "b *event"],
        t: Shaped[ArrayLike, "..."],
        cond: Shaped[ArrayLike, "..."] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "b *out"]:
        """Evaluate the network."""
        x = jnp.asarray(x)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"expected floating-point x, got {x.dtype}")
        if x.ndim == 1 and self.out_channels is not None:
            raise ValueError(f"out_channels={self.out_channels} needs an event axis: expected x of shape (batch, …, d)")
        batch, event = x.shape[0], x.shape[1:]
        out_event = event if self.out_channels is None else (*event[:-1], self.out_channels)

        embedding = TimeConditionEmbedding(self.width, self.num_classes, self.cond_dim, name="embedding")(
            t, cond, batch
        )
        embedding = nn.silu(embedding)
        hidden = nn.Dense(self.width, dtype=self.dtype, name="in")(x.reshape(batch, math.prod(event)))
        for i in range(self.depth):
            scale, shift = jnp.split(nn.Dense(2 * self.width, dtype=self.dtype, name=f"modulate_{i}")(embedding), 2, -1)
            update = nn.Dense(self.width, dtype=self.dtype, name=f"first_{i}")(nn.silu(hidden))
            update = nn.silu(update * (1 + scale) + shift)
            update = nn.Dropout(self.dropout, deterministic=not train)(update)
            hidden += nn.Dense(self.width, dtype=self.dtype, name=f"second_{i}")(update)
        out = nn.Dense(math.prod(out_event), kernel_init=nn.initializers.zeros, name="out")
        return out(nn.silu(hidden).astype(jnp.float32)).reshape(batch, *out_event)

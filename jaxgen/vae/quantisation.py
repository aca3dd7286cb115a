"""Vector quantisation: the nearest code, the straight-through gradient, and the loss of a VQ-VAE."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen.core import check_not_negative
from jaxgen.distributions.likelihoods import Likelihood


class Quantised(NamedTuple):
    """Encodings, the codes e that replace them, and the losses of vector quantisation."""

    codes: Float[Array, "b *space d"]  # e, whose gradient passes to z
    indices: Int[Array, "b *space"]
    encodings: Float[Array, "b *space d"]
    codebook_loss: Float[Array, " b"]  # mean over space and d of (e − sg[z])²
    commitment_loss: Float[Array, " b"]  # mean of (sg[e] − z)²: the same value with another gradient


def nearest_code(z: Float[Array, "*batch d"], codes: Float[Array, "k d"]) -> Int[Array, "*batch"]:
    """The index argmin_k ‖z − e_k‖² of the nearest code, the first if several are.

    Memory is K numbers per encoding.

    Args:
        z: encodings (…, d).
        codes: the codebook (K, d).

    Returns:
        Indices (…) in [0, K).

    Raises:
        ValueError: unless the codes are (K, d) with the d of z.

    Reference:
        van den Oord et al. 2017, eq. 1.
    """
    if codes.ndim != 2 or codes.shape[1] != z.shape[-1]:
        raise ValueError(f"codes must have shape (K, {z.shape[-1]}) for z (…, {z.shape[-1]}), got {codes.shape}")
    dtype = jnp.promote_types(jnp.promote_types(z.dtype, codes.dtype), jnp.float32)
    z, codes = z.astype(dtype), codes.astype(dtype)
    # far from the origin the difference below would cancel
    centre = codes.mean(0)
    codes, z = codes - centre, z - centre
    products = jnp.matmul(z, codes.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.argmin((codes**2).sum(-1) - 2 * products, axis=-1)


def quantise(z: Float[Array, "b *space d"], codes: Float[Array, "k d"]) -> Quantised:
    """Replace every encoding by its nearest code, with the straight-through gradient.

    Args:
        z: encodings (B, *space, d).
        codes: the codebook (K, d).

    Returns:
        The codes, their indices and the two losses (B,): the means over space and d of (e − sg[z])² and (sg[e] − z)²,
        where sg[·] is `jax.lax.stop_gradient`.

    Raises:
        ValueError: as `nearest_code` does.

    Reference:
        van den Oord et al. 2017, §3.2.
    """
    indices = nearest_code(jax.lax.stop_gradient(z), jax.lax.stop_gradient(codes))
    chosen = codes[indices].astype(jnp.promote_types(z.dtype, codes.dtype))
    frozen, held = jax.lax.stop_gradient(chosen), jax.lax.stop_gradient(z)

    def mean_square(difference: Array) -> Float[Array, " b"]:
        return (difference**2).reshape(len(z), -1).mean(-1)

    # z − sg[z] is exactly 0: the decoder sees the codes themselves
    return Quantised(frozen + (z - held), indices, z, mean_square(chosen - held), mean_square(frozen - z))


def vq_vae_loss(
    encode: Callable[[Array], Array],
    decode: Callable[[Array], Any],
    codes: Float[Array, "k d"],
    x: Float[Array, "b *event"],
    *,
    likelihood: Likelihood,
    codebook_weight: float = 1.0,
    commitment: float = 0.25,
) -> tuple[Float[Array, " b"], dict[str, Float[Array, " b"]], Quantised]:
    """The loss −log p(x|e) + w ‖sg[z] − e‖² + β ‖z − sg[e]‖² of a VQ-VAE.

    The two square errors are means over space and d, as in the authors' code, where the first term is a mean square
    error too; a likelihood in nats is a sum over the event, and weighs that much more. The KL to a uniform prior over
    codes is the constant log K per encoding and is left out.

    Args:
        encode: x (B, *event) -> z (B, *space, d).
        decode: e (B, *space, d) -> the parameters of the likelihood.
        codes: the codebook (K, d).
        x: data (B, *event).
        likelihood: (x, decode(e)) -> log p(x|e), (B,).
        codebook_weight: w ≥ 0; use 0 where `codebook.update` moves the codes.
        commitment: β ≥ 0.

    Returns:
        Losses (B,); {"reconstruction", "commitment"}, the first and the last term without weight; and the `Quantised`
        encodings.

    Raises:
        ValueError: if a weight is negative or not finite; and as `nearest_code` does.

    Reference:
        van den Oord et al. 2017, eq. 3.
    """
    check_not_negative(codebook_weight=codebook_weight, commitment=commitment)
    found = quantise(encode(x), codes)
    reconstruction = -likelihood(x, decode(found.codes))
    losses = reconstruction + codebook_weight * found.codebook_loss + commitment * found.commitment_loss
    return losses, {"reconstruction": reconstruction, "commitment": found.commitment_loss}, found

"""The loss of an autoencoder whose latents are sparse combinations of atoms."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.distributions.likelihoods import Likelihood
from jaxgen.vae.sparse import zero_fraction


def sc_vae_loss(
    encode: Callable[[Array], Array],
    code: Callable[[Array], Array],
    dictionary: Float[Array, "n m"],
    decode: Callable[[Array], Any],
    x: Float[Array, "b *event"],
    *,
    likelihood: Likelihood,
    latent_weight: ArrayLike = 1.0,
    sparsity: ArrayLike = 0.0,
) -> tuple[Float[Array, " b"], dict[str, Float[Array, " b"]], Float[Array, "b *space m"]]:
    """The loss −log p(x|Dz) + w ‖e − Dz‖² + s ‖z‖₁ of an SC-VAE.

    The two penalties are sums over n and m, and means over space. In the authors' code s = 0; an encoder can then grow
    e until λ has no effect, which the fraction of zeros shows.

    Args:
        encode: x (B, *event) -> e (B, *space, n).
        code: e -> sparse codes z (B, *space, m), such as `partial(sparse.ista, dictionary=D, penalty=λ, steps=k)` or
            `partial(sparse.lista, params, steps=k)`.
        dictionary: D (n, m).
        decode: Dz (B, *space, n) -> the parameters of the likelihood.
        x: data (B, *event).
        likelihood: (x, decode(Dz)) -> log p(x|Dz), (B,).
        latent_weight: w.
        sparsity: s.

    Returns:
        Losses (B,); {"reconstruction", "latent", "zero_fraction"}, the first two terms without weights and the fraction
        of zeros; and the codes z.

    Raises:
        ValueError: unless code returns one entry per atom, (B, *space, m).

    Reference:
        Xiao et al. 2023.
    """
    e = encode(x)
    z = code(e)
    if z.shape != (*e.shape[:-1], dictionary.shape[1]):
        wanted = (*e.shape[:-1], dictionary.shape[1])
        raise ValueError(f"code must return one entry for each atom, {wanted}, got {z.shape}")
    rebuilt = z @ dictionary.T

    def mean(terms: Array) -> Float[Array, " b"]:
        return terms.reshape(len(x), -1).mean(-1)

    reconstruction = -likelihood(x, decode(rebuilt))
    latent, size = mean(((e - rebuilt) ** 2).sum(-1)), mean(jnp.abs(z).sum(-1))
    metrics = {"reconstruction": reconstruction, "latent": latent, "zero_fraction": mean(zero_fraction(z))}
    return reconstruction + latent_weight * latent + sparsity * size, metrics, z

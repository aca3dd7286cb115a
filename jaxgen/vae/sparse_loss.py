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
    """−log p(x|Dz) + w ‖e − Dz‖² + s ‖z‖₁, the metrics, and the codes z (SC-VAE, Xiao et al. 2023).

    encode: x -> e (B, *space, n). code: e -> z (B, *space, m), sparse, such as `partial(sparse.ista, dictionary=D,
    penalty=λ, steps=k)` or `partial(sparse.lista, params, steps=k)`. decode: Dz -> what the decoder reads. The two
    penalties are sums over n and m, and means over space. In the authors' code s = 0; an encoder can then grow e until
    λ no longer bites: watch the share of zeros.
    Metrics: {"reconstruction", "latent", "zero_fraction"}: the first two terms without weights, and the share of zeros.
    Raises ValueError for codes that do not fit the dictionary.
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

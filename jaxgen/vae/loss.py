"""The training objective of a VAE, with β, capacity or free bits."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import check_floating, check_not_negative, is_traced
from jaxgen.vae._elbo import KL, VAE, elbo


def vae_loss(
    key: Key[Array, "..."],
    model: VAE,
    x: Float[Array, "b *event"],
    *,
    beta: ArrayLike = 1.0,
    capacity: ArrayLike | None = None,
    free_bits: ArrayLike = 0.0,
    kl: KL | None = None,
    samples: int = 1,
) -> tuple[Float[Array, " b"], dict[str, Float[Array, " b"]]]:
    """The loss −E_q log p(x|z) + β KL in nats, and its two terms without weights.

    All weights may be traced, so that a warm-up is any function of the step, such as `optax.linear_schedule(0, 1, n)`,
    and does not recompile.

    Args:
        key: one key, or keys (B,), one per example.
        model: the autoencoder.
        x: data (B, *event).
        beta: β ≥ 0 (Higgins et al. 2017, eq. 4). Both terms are sums, over the event and over the latents.
        capacity: C ≥ 0 nats, which makes the second term β |KL − C| (Burgess et al. 2018, eq. 8, where β is called γ).
            Not together with free_bits.
        free_bits: λ ≥ 0 nats, which makes the second term β Σ_j max(λ, KL_j) over the latents j (Kingma et al. 2016,
            appendix C.8), or β max(λ, KL) where the KL is estimated by Monte Carlo.
        kl: as in `elbo`.
        samples: as in `elbo`.

    Returns:
        Losses (B,) and {"reconstruction", "kl"}, (B,) each. With capacity or free bits the KL inside |·| and max is the
        mean over the batch; the losses are such that their mean and its gradient are those of the objective.

    Raises:
        ValueError: if a concrete weight is negative or not finite, or capacity and free_bits are both given; and as
            `elbo` does.
    """
    check_floating(x)
    check_not_negative(beta=beta, capacity=capacity, free_bits=free_bits)
    no_free_bits = not is_traced(free_bits) and np.all(np.asarray(free_bits) == 0)
    if capacity is not None and not no_free_bits:
        raise ValueError("give either a capacity or free bits: both say how large the KL should be")
    found = elbo(key, model, x, kl=kl, samples=samples)
    if capacity is not None:
        # sign(mean − C)(KL_b − C) has the mean |mean − C|, and its gradient
        penalty = jnp.sign(found.kl.mean() - capacity) * (found.kl - capacity)
    else:
        terms = found.kl_terms.reshape(len(x), -1)
        # without free bits Monte Carlo terms, which may be negative, are not clipped at 0
        penalty = found.kl if no_free_bits else jnp.where(terms.mean(0) > free_bits, terms, free_bits).sum(-1)
    return found.reconstruction + beta * penalty, {"reconstruction": found.reconstruction, "kl": found.kl}

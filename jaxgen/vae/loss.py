"""The training objective of a VAE and its variants: β, capacity, free bits."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

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
    """−E_q log p(x|z) + β KL in nats, and {"reconstruction", "kl"}, the two terms without their weights.

    The pair is what a loss function hands to a train step. beta: β (Higgins et al. 2017, eq. 4); both terms are sums,
    over the event and over latents, so β is theirs. capacity: C nats, for β |KL − C|, β the paper's γ (Burgess et al.
    2018, eq. 8). free_bits: λ nats, for β Σ_j max(λ, KL_j) over the latent dimensions j (Kingma et al. 2016, appendix
    C.8), or over all of them as one where the KL is by Monte Carlo. KL and KL_j within |·| and max are means over the
    batch; the losses share the result out so that their mean and its gradient are the objective's. kl and samples: see
    `elbo`.

    All three weights may be traced, so a warm-up is any function of the step, such as `optax.linear_schedule(0, 1, n)`,
    and changes without recompiling. Raises ValueError for concrete negative ones, for capacity and free bits together,
    and as `elbo` does.
    """
    weights = {"beta": beta, "capacity": 0.0 if capacity is None else capacity, "free_bits": free_bits}
    for name, value in weights.items():
        if not isinstance(value, jax.core.Tracer) and not np.all(np.asarray(value) >= 0):
            raise ValueError(f"{name} must not be negative, got {value}")
    no_free_bits = not isinstance(free_bits, jax.core.Tracer) and np.all(np.asarray(free_bits) == 0)
    if capacity is not None and not no_free_bits:
        raise ValueError("give either a capacity or free bits: both say how large the KL should be")
    found = elbo(key, model, x, kl=kl, samples=samples)
    if capacity is not None:
        # sign(mean − C)(KL_b − C) has the mean |mean − C|, and its gradient
        penalty = jnp.sign(found.kl.mean() - capacity) * (found.kl - capacity)
    else:
        terms = found.kl_terms.reshape(len(x), -1)
        # Monte Carlo terms may be negative: without free bits they are not held at 0
        penalty = found.kl if no_free_bits else jnp.where(terms.mean(0) > free_bits, terms, free_bits).sum(-1)
    return found.reconstruction + beta * penalty, {"reconstruction": found.reconstruction, "kl": found.kl}

"""The evidence lower bound of a variational autoencoder."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.core import fold_in
from jaxgen.distributions import Gaussian, Prior, standard_normal
from jaxgen.distributions.likelihoods import Likelihood

KL = Literal["analytic", "monte_carlo"]


class VAE(NamedTuple):
    """A variational autoencoder as four functions; parameters are what they close over (Kingma & Welling 2014).

    encode: x (B, *event) -> the `Gaussian` q(z|x) (B, *d). decode: z (B, *d) -> what the decoder reads: logits, or a
    `Gaussian`; for a fixed std, `lambda z: Gaussian(net(z), jnp.asarray(0.1))`. decoder: (x, that) -> log p(x|z) (B,),
    one of `jaxgen.distributions.likelihoods`. prior: p(z), by default N(0, I).
    """

    encode: Callable[[Array], Gaussian]
    decode: Callable[[Array], Any]
    likelihood: Likelihood
    prior: Prior = standard_normal()


class Elbo(NamedTuple):
    """An estimate of the bound, its two terms as costs in nats, and the posterior it was drawn from."""

    reconstruction: Float[Array, " b"]  # −E_q log p(x|z)
    kl_terms: Float[Array, "b *d"]  # KL(q(z|x) ‖ p(z)) of every dimension, or of all together (B, 1)
    q: Gaussian

    @property
    def kl(self) -> Float[Array, " b"]:
        """KL(q(z|x) ‖ p(z))."""
        return self.kl_terms.reshape(len(self.kl_terms), -1).sum(-1)

    @property
    def value(self) -> Float[Array, " b"]:
        """The ELBO, E_q log p(x|z) − KL ≤ log p(x)."""
        return -self.reconstruction - self.kl


def elbo(
    key: Key[Array, "..."], model: VAE, x: Float[Array, "b *event"], *, kl: KL | None = None, samples: int = 1
) -> Elbo:
    """An unbiased, reparameterised estimate of E_q log p(x|z) − KL(q(z|x) ‖ p(z)) (Kingma & Welling 2014, eq. 3 and 7).

    key: (), or (B,), by which the result of sample b depends on key[b] alone. kl: "analytic" by the prior's closed
    form, "monte_carlo" as log q(z|x) − log p(z) at the same z; by default whichever the prior has. samples: draws of z
    for each x, all at once, over which both are averaged.
    Raises ValueError for an unknown kl, an analytic one that the prior does not have, samples < 1, and for an encoder
    or a decoder whose results are not one for each example.
    """
    if kl is None:
        kl = "monte_carlo" if model.prior.kl is None else "analytic"
    if kl not in get_args(KL):
        raise ValueError(f"unknown kl {kl!r}: choose one of {', '.join(get_args(KL))}")
    if kl == "analytic" and model.prior.kl is None:
        raise ValueError("this prior has no closed form of the KL: use kl='monte_carlo'")
    if samples < 1:
        raise ValueError(f"need at least one sample of z, got {samples}")
    q = posterior(model, x)

    def at(index: Array) -> tuple[Array, Array]:
        z = q.sample(fold_in(key, index))
        log_ratio = 0 if kl == "analytic" else q.log_density(z) - model.prior.log_density(z)
        return -log_likelihood(model, x, z), jnp.broadcast_to(log_ratio, x.shape[:1])

    reconstruction, log_ratio = jax.tree.map(lambda terms: terms.mean(0), jax.vmap(at)(jnp.arange(samples)))
    return Elbo(reconstruction, model.prior.kl(q) if kl == "analytic" else log_ratio[:, None], q)


def posterior(model: VAE, x: Float[Array, "b *event"]) -> Gaussian:
    """q(z|x), raising ValueError unless it is one Gaussian for each example."""
    q = Gaussian(*model.encode(x))
    if q.mean.ndim < 2 or len(q.mean) != len(x):
        raise ValueError(f"encode must return a Gaussian of shape ({len(x)}, *d), got {q.mean.shape}")
    return q


def log_likelihood(model: VAE, x: Float[Array, "b *event"], z: Float[Array, "b *d"]) -> Float[Array, " b"]:
    """log p(x|z), raising ValueError unless it is one value for each example."""
    value = model.likelihood(x, model.decode(z))
    if value.shape != x.shape[:1]:
        raise ValueError(f"the decoder must return one value per example, {x.shape[:1]}, got {value.shape}")
    return value

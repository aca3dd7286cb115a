"""The evidence lower bound of a variational autoencoder."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.core import check_at_least, check_choice, fold_in, threefry_key
from jaxgen.distributions import Distribution, Gaussian, standard_normal
from jaxgen.distributions.likelihoods import Likelihood

KL = Literal["analytic", "monte_carlo"]


class VAE(NamedTuple):
    """A variational autoencoder as three functions and a prior; the functions close over their parameters.

    Args:
        encode: x (B, *event) -> the `Gaussian` q(z|x), of shape (B, *d).
        decode: z (B, *d) -> the parameters of the likelihood, such as logits or a `Gaussian`.
        likelihood: (x, decode(z)) -> log p(x|z), (B,): what the decoder's output says of the data. One of
            `jaxgen.distributions.likelihoods`.
        prior: the `Distribution` p(z), N(0, I) by default.

    Reference:
        Kingma & Welling 2014.

    Example:
        A decoder with a fixed standard deviation:

            decode = lambda z: Gaussian(net.apply(params, z), jnp.asarray(0.1))
            model = VAE(encode, decode, likelihoods.gaussian())
    """

    encode: Callable[[Array], Gaussian]
    decode: Callable[[Array], Any]
    likelihood: Likelihood
    prior: Distribution = standard_normal()


class Elbo(NamedTuple):
    """An estimate of the evidence lower bound: its two terms in nats, and the approximate posterior."""

    reconstruction: Float[Array, " b"]  # −E_q log p(x|z)
    kl_terms: Float[Array, "b *d"]  # KL(q(z|x) ‖ p(z)) of every latent, or (B, 1) for their sum
    q: Gaussian

    @property
    def kl(self) -> Float[Array, " b"]:
        """KL(q(z|x) ‖ p(z)) in nats, (B,)."""
        return self.kl_terms.reshape(len(self.kl_terms), -1).sum(-1)

    @property
    def value(self) -> Float[Array, " b"]:
        """The ELBO E_q log p(x|z) − KL in nats, (B,); its expectation is at most log p(x)."""
        return -self.reconstruction - self.kl


def elbo(
    key: Key[Array, "..."], model: VAE, x: Float[Array, "b *event"], *, kl: KL | None = None, samples: int = 1
) -> Elbo:
    """An unbiased, reparameterised estimate of the ELBO E_q log p(x|z) − KL(q(z|x) ‖ p(z)).

    Args:
        key: one key, or keys (B,), in which case the result of example b depends on key[b] alone.
        model: the autoencoder.
        x: data (B, *event).
        kl: "analytic", the closed form `model.prior.kl(q)`, or "monte_carlo", log q(z|x) − log p(z) at the drawn z. By
            default the closed form if the prior has one.
        samples: the number of draws of z per example, over which both terms are averaged. They are decoded at once.

    Returns:
        The two terms in nats and q(z|x); the property `value` is the bound (B,).

    Raises:
        ValueError: if kl is unknown, kl is "analytic" and the prior has no closed form, samples < 1, or the encoder or
            the likelihood does not return one result per example.

    Reference:
        Kingma & Welling 2014, eq. 3 and 7.
    """
    closed_form = getattr(model.prior, "kl", None)
    if kl is None:
        kl = "monte_carlo" if closed_form is None else "analytic"
    check_choice(KL, kl=kl)
    if kl == "analytic" and closed_form is None:
        raise ValueError("this prior has no closed form of the KL: use kl='monte_carlo'")
    check_at_least(1, samples=samples)
    q, key = posterior(model, x), threefry_key(key)

    def at(index: Array) -> tuple[Array, Array]:
        z = q.sample(fold_in(key, index))
        log_ratio = 0 if kl == "analytic" else q.log_density(z) - model.prior.log_density(z)
        return -log_likelihood(model, x, z), jnp.broadcast_to(log_ratio, x.shape[:1])

    reconstruction, log_ratio = jax.tree.map(lambda terms: terms.mean(0), jax.vmap(at)(jnp.arange(samples)))
    return Elbo(reconstruction, closed_form(q) if kl == "analytic" else log_ratio[:, None], q)


def posterior(model: VAE, x: Float[Array, "b *event"]) -> Gaussian:
    """q(z|x); raises ValueError unless it is one Gaussian per example."""
    q = Gaussian(*model.encode(x))
    if q.mean.ndim < 2 or len(q.mean) != len(x):
        raise ValueError(f"encode must return a Gaussian of shape ({len(x)}, *d), got {q.mean.shape}")
    return q


def log_likelihood(model: VAE, x: Float[Array, "b *event"], z: Float[Array, "b *d"]) -> Float[Array, " b"]:
    """log p(x|z); raises ValueError unless it is one value per example."""
    value = model.likelihood(x, model.decode(z))
    if value.shape != x.shape[:1]:
        raise ValueError(f"the likelihood must return one value per example, {x.shape[:1]}, got {value.shape}")
    return value

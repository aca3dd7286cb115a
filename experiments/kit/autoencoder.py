"""A variational autoencoder of images: its networks, how it is trained, and how its samples are read."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from experiments.kit.run import Run
from experiments.kit.training import initial_parameters, train_network
from jaxgen.distributions import Distribution, Gaussian, standard_normal
from jaxgen.distributions.likelihoods import Likelihood, discretised_logistic
from jaxgen.training import History
from jaxgen.vae import VAE, vae_loss

Priors = Callable[[Any], Distribution]


class Autoencoder(NamedTuple):
    """The networks of a VAE.

    Attributes:
        encoder: maps x to the Gaussian q(z|x).
        decoder: maps z to the parameters of the likelihood p(x|z).
        likelihood: the likelihood.
        prior: the prior as a function of all parameters.
    """

    encoder: nn.Module
    decoder: nn.Module
    likelihood: Likelihood = discretised_logistic()
    prior: Priors = lambda params: standard_normal()

    def initial(self, seed: int, shape: tuple[int, ...]) -> dict[str, Any]:
        """First parameters for images of a shape."""
        x = jnp.zeros((1, *shape))
        encoder = initial_parameters(self.encoder, seed, x)
        code = jax.eval_shape(self.encoder.apply, encoder, x).mean
        return {"encoder": encoder, "decoder": initial_parameters(self.decoder, seed + 1, jnp.zeros(code.shape))}

    def model(self, params: Mapping[str, Any]) -> VAE:
        """The VAE with these parameters, which stay an argument of what is compiled."""
        encode, decode = partial(self.encoder.apply, params["encoder"]), partial(self.decoder.apply, params["decoder"])
        return VAE(encode, decode, self.likelihood, self.prior(params))

    def image(self, params: Mapping[str, Any], z: jax.Array) -> jax.Array:
        """The mean image of a code, in [−1, 1], or the probabilities that pixels are on, in [0, 1]."""
        found = self.decoder.apply(params["decoder"], z)
        return jnp.clip(found.mean, -1, 1) if isinstance(found, Gaussian) else jax.nn.sigmoid(found)


class Trained(NamedTuple):
    """A trained autoencoder."""

    autoencoder: Autoencoder
    params: Any
    history: History

    def generate(self, params: Any, keys: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Mean images of codes of a shape drawn from the prior, each from its own key."""
        prior = self.autoencoder.model(params).prior
        z = jax.vmap(lambda key: prior.sample(key, (1, *shape))[0])(keys)
        return self.autoencoder.image(params, z)


def as_they_are(x: jax.Array) -> jax.Array:
    """x itself, where rows are images."""
    return x


def train(
    run: Run,
    name: str,
    autoencoder: Autoencoder,
    params: Mapping[str, Any],
    data: Any,
    held_out: Any,
    *,
    seed: int,
    beta: float = 1.0,
    warm_up: int = 0,
    images: Callable[[jax.Array], jax.Array] = as_they_are,
    **options: Any,
) -> Trained:
    """Train a VAE by −E log p(x|z) + β KL.

    Args:
        run: the run.
        name: folder of the network within the run's.
        autoencoder: the networks.
        params: their first parameters.
        data: rows (n, ...) of the training set.
        held_out: rows on which the loss is followed.
        seed: seed of batches and noise.
        beta: β.
        warm_up: steps in which β rises from 0.
        images: makes x of rows.
        options: further options of `train_network`.
    """
    held_out = jnp.asarray(held_out)
    loss = _loss(autoencoder, beta, warm_up, images)

    def held_out_loss(params, **_):
        return jnp.mean(vae_loss(jax.random.key(1), autoencoder.model(params), images(held_out), beta=beta)[0])

    trained = train_network(
        run, name, params, loss, (data,), held_out_loss=held_out_loss, seed=seed, carry={"step": jnp.zeros((), int)},
        **options,
    )  # fmt: skip
    return Trained(autoencoder, trained.averaged, trained.history)


# Trainings of one autoencoder, such as those of several seeds, have one loss function, so that they compile once.
@lru_cache(maxsize=1)
def _loss(autoencoder: Autoencoder, beta: float, warm_up: int, images: Callable[[jax.Array], jax.Array]) -> Callable:
    weight = optax.linear_schedule(0.0, beta, warm_up) if warm_up else optax.constant_schedule(beta)

    def loss(key, params, batch, step):
        losses, metrics = vae_loss(key, autoencoder.model(params), images(batch[0]), beta=weight(step))
        return losses, metrics, {"step": step + 1}

    return loss

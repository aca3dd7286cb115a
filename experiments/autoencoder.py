"""A variational autoencoder of images: its networks, how it is trained, and how its samples are read."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from experiments.config import TrainingConfig
from experiments.training import initial_parameters, train_network
from jaxgen.distributions import Distribution, Gaussian, standard_normal
from jaxgen.distributions.likelihoods import Likelihood, discretised_logistic
from jaxgen.training import History
from jaxgen.vae import VAE, vae_loss

Priors = Callable[[Any], Distribution]


class Autoencoder(NamedTuple):
    """Networks x -> q(z|x) and z -> what the decoder p(x|z) is told, and the prior as a function of all parameters."""

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


def train(
    config: TrainingConfig,
    autoencoder: Autoencoder,
    params: Mapping[str, Any],
    data,
    held_out,
    directory: Path,
    *,
    seed: int,
    beta: float = 1.0,
    warm_up: int = 0,
    images: Callable[[jax.Array], jax.Array] = lambda x: x,
    **how: Any,
) -> Trained:
    """Train from params by −E log p(x|z) + β KL, β reached in `warm_up` steps; `images` makes x of the data's rows.

    how: further options of `train_network`.
    """
    held_out = jnp.asarray(held_out)
    weight = optax.linear_schedule(0.0, beta, warm_up) if warm_up else optax.constant_schedule(beta)

    def loss(key, params, batch, step):
        losses, metrics = vae_loss(key, autoencoder.model(params), images(batch[0]), beta=weight(step))
        return losses, metrics, {"step": step + 1}

    def held_out_loss(params, **_):
        return jnp.mean(vae_loss(jax.random.key(1), autoencoder.model(params), images(held_out), beta=beta)[0])

    trained = train_network(
        config, params, loss, (data,), directory, held_out_loss=held_out_loss, seed=seed,
        carry={"step": jnp.zeros((), int)}, **how,
    )  # fmt: skip
    return Trained(autoencoder, trained.averaged, trained.history)

"""VAE and VampPrior VAE: Gaussian codes under N(0, I), or under a mixture of posteriors of learned pseudo-inputs."""

from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.kit.autoencoder import Autoencoder, Trained
from experiments.kit.autoencoder import train as train_autoencoder
from experiments.kit.run import Run
from experiments.vae_zoo.config import Config
from experiments.vae_zoo.data import Data
from experiments.vae_zoo.model import VAE, VAMP, LogLikelihood, Model, Usage
from jaxgen.distributions import DiagonalMixture, init_pseudo_inputs, pseudo_inputs, vamp_prior
from jaxgen.distributions.likelihoods import discretised_logistic
from jaxgen.nets import MLPDecoder, MLPEncoder
from jaxgen.vae import elbo, negative_log_likelihood

ACTIVE = 0.01  # variance of a mean code above which its dimension is used (Burda et al. 2016)


def gated(config: Config, data: Data) -> Autoencoder:
    """The networks of both: gated layers, and a Gaussian code under N(0, I)."""
    hidden = (config.hidden,) * config.layers
    decoder = MLPDecoder(data.train.images.shape[1:], hidden, "gated", learned_scale=True)
    return Autoencoder(MLPEncoder(config.latents, hidden, "gated"), decoder, discretised_logistic(data.levels))


def train_vae(run: Run[Config], data: Data) -> Model:
    """Gaussian codes under N(0, I)."""
    autoencoder = gated(run.config, data)
    params = autoencoder.initial(run.config.seed, data.train.images.shape[1:])
    return _model(VAE, run.config, _train(run, VAE, autoencoder, params, data))


def train_vamp_prior(run: Run[Config], data: Data) -> Model:
    """Gaussian codes under the VampPrior, whose pseudo-inputs begin as training images."""
    config, autoencoder = run.config, gated(run.config, data)

    def prior(params: Any) -> DiagonalMixture:
        return vamp_prior(partial(autoencoder.encoder.apply, params["encoder"]), pseudo_images(params))

    params = autoencoder.initial(config.seed, data.train.images.shape[1:])
    free = jax.jit(init_pseudo_inputs, static_argnums=(1, 2))(data.train.images[: config.pseudo_inputs], -1.0, 1.0)
    trained = _train(run, VAMP, autoencoder._replace(prior=prior), params | {"pseudo": free}, data)
    return _model(VAMP, config, trained)


def pseudo_images(params: Any) -> jax.Array:
    """The pseudo-inputs of a VampPrior, images (k, h, w, c) in [−1, 1]."""
    return pseudo_inputs(params["pseudo"], -1.0, 1.0)


def used_dimensions(codes: np.ndarray) -> Usage:
    """The dimensions of mean codes (n, d) whose variance exceeds 0.01."""
    return Usage(int(np.sum(np.var(codes, axis=0) > ACTIVE)), codes.shape[1])


def _train(run: Run[Config], name: str, autoencoder: Autoencoder, params: Any, data: Data) -> Trained:
    return train_autoencoder(
        run, name.lower(), autoencoder, params, data.train.images, data.held_out.images[:256], seed=run.config.seed,
        warm_up=run.config.warm_up,
    )  # fmt: skip


def _model(name: str, config: Config, trained: Trained) -> Model:
    autoencoder = trained.autoencoder

    def log_likelihood(params, keys, x):
        model = autoencoder.model(params)
        nll = negative_log_likelihood(keys, model, x, samples=config.importance_samples)
        # Estimated by the same draws of z for both priors, so that they can be compared image by image.
        found = elbo(keys, model, x, kl="monte_carlo")
        return LogLikelihood(nll, found.kl, -found.value)

    return Model(
        name,
        trained.params,
        trained.history,
        encode=lambda params, x: autoencoder.encoder.apply(params["encoder"], x).mean,
        decode=autoencoder.image,
        usage=used_dimensions,
        log_likelihood=log_likelihood,
        sample=lambda params, keys, _: trained.generate(params, keys, (config.latents,)),
    )

"""VQ-VAE: indices into a codebook that follows the encodings, under an autoregressive prior fitted afterwards."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.run import Run
from experiments.kit.training import initial_parameters, train_network
from experiments.vae_zoo.code_prior import CodePrior
from experiments.vae_zoo.config import Config
from experiments.vae_zoo.data import Data
from experiments.vae_zoo.model import VQ, LogLikelihood, Model, Usage
from experiments.vae_zoo.spatial import spatial
from jaxgen.distributions.likelihoods import discretised_logistic
from jaxgen.metrics import apply_in_batches
from jaxgen.vae import Codebook, codebook, quantise, vq_vae_loss


def train_vq_vae(run: Run[Config], data: Data) -> Model:
    """Train the autoencoder and its codebook, then the prior over the indices of the training images."""
    config, nets, likelihood = run.config, spatial(run.config, data), discretised_logistic(data.levels)
    images, shown = data.train.images, jnp.asarray(data.held_out.images[:256])
    # The reconstruction term is a sum over an image, the commitment a mean.
    weights = {"codebook_weight": 0.0, "commitment": 0.25 * float(np.prod(nets.shape))}

    def found(params: Any, book: Codebook, x: jax.Array):
        encode, decode = partial(nets.encode, params), partial(nets.decode, params)
        return vq_vae_loss(encode, decode, book.codes, x, likelihood=likelihood, **weights)

    def loss(key, params, batch, book):
        losses, metrics, quantised = found(params, book, batch[0])
        book = codebook.update(book, quantised.encodings, quantised.indices)
        return losses, metrics, {"book": codebook.reset_dead(key, book, quantised.encodings)}

    @jax.jit
    def first_codes(params: Any, x: jax.Array) -> Codebook:
        return codebook.from_encodings(jax.random.key(config.seed + 5), nets.encode(params, x), config.codes)

    params = nets.initial(config.seed)
    trained = train_network(
        run, "vq-vae", params, loss, (images,), seed=config.seed,
        carry={"book": first_codes(params, images[: 4 * config.batch_size])},
        held_out_loss=lambda params, book: jnp.mean(found(params, book, shown)[0]),
    )  # fmt: skip
    # The codebook has followed these parameters, not their average.
    params = trained.params | {"codes": trained.carry["book"].codes}

    def indices(params: Any, x: jax.Array) -> jax.Array:
        return quantise(nets.encode(params, x), params["codes"]).indices.reshape(len(x), -1)

    def vectors(params: Any, index: jax.Array) -> jax.Array:
        return params["codes"][index.reshape(-1, *nets.places)]

    seen = run.stage("vq-vae/indices", lambda: apply_in_batches(partial(indices, params), images).astype(np.int32))
    prior = CodePrior(config.codes, config.width)
    params["prior"] = fit_prior(run, prior, seen)

    def log_likelihood(params: Any, keys: jax.Array, x: jax.Array) -> LogLikelihood:
        index = indices(params, x)
        rate = -prior.log_prob(params["prior"], index)
        bound = rate - likelihood(x, nets.decode(params, vectors(params, index)))
        return LogLikelihood(bound, rate, bound)

    return Model(
        VQ,
        params,
        trained.history,
        encode=nets.encode,
        decode=lambda params, e: nets.image(params, quantise(e, params["codes"]).codes),
        usage=lambda codes: used_codes(seen, config.codes),
        log_likelihood=log_likelihood,
        sample=lambda params, keys, _: nets.image(
            params, vectors(params, prior.sample(params["prior"], keys, seen.shape[1]))
        ),
    )


def fit_prior(run: Run[Config], prior: CodePrior, indices: np.ndarray) -> Any:
    """The averaged parameters of the prior, fitted to sequences of indices (n, length)."""
    config = run.config
    return train_network(
        run, "vq-prior", initial_parameters(prior, config.seed, indices[:1]),
        lambda key, params, batch: -prior.log_prob(params, batch[0]), (indices,), steps=config.prior_steps,
        seed=config.seed, held_out_loss=lambda params: -jnp.mean(prior.log_prob(params, indices[:256])),
    ).averaged  # fmt: skip


def used_codes(indices: np.ndarray, size: int) -> Usage:
    """The codes that occur among the indices, and their perplexity."""
    counts = np.bincount(indices.reshape(-1), minlength=size)
    perplexity = float(codebook.perplexity(jnp.asarray(counts, jnp.float32)))
    return Usage(int(np.sum(counts > 0)), size, perplexity=perplexity)

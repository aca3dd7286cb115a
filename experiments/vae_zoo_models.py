"""The four autoencoders: how each is trained, coded, decoded, sampled and weighed."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.autoencoder import Autoencoder, train
from experiments.training import initial_parameters, train_network
from jaxgen.distributions import init_pseudo_inputs, pseudo_inputs, vamp_prior
from jaxgen.distributions.likelihoods import discretised_logistic
from jaxgen.metrics import apply_in_batches
from jaxgen.nets import MLPDecoder, MLPEncoder, SpatialDecoder, SpatialEncoder
from jaxgen.training import History
from jaxgen.vae import codebook, negative_log_likelihood, quantise, sc_vae_loss, sparse, vq_vae_loss

VAE, VAMP, VQ, SC = "VAE", "VampPrior", "VQ-VAE", "SC-VAE"
_STAGES = 2  # halvings of the image, to the places of VQ-VAE and SC-VAE


class Member(NamedTuple):
    """A trained autoencoder, seen alike whatever its codes are.

    encode: images (b, h, w, c) -> codes (b, *d) that can be mixed; decode: such codes -> mean images in [−1, 1].
    samples: images, None where there is no prior. nll: −log p(x) of each held-out image in nats or a bound on it from
    above, rate: what the prior makes of its code, bound: −ELBO, each None where it has no value. usage: how the code is
    used.
    """

    name: str
    history: History
    encode: Callable[[jax.Array], jax.Array]
    decode: Callable[[jax.Array], jax.Array]
    samples: np.ndarray | None
    nll: np.ndarray | None
    rate: np.ndarray | None
    bound: np.ndarray | None
    usage: str
    shown: np.ndarray | None = None
    """What it has learned beside its networks, as images: pseudo-inputs, or what the atoms of a dictionary draw."""


class CodePrior(nn.Module):
    """An autoregressive prior over sequences of indices: a recurrent network that sees those before."""

    codes: int
    width: int

    @nn.compact
    def __call__(self, indices: jax.Array) -> jax.Array:
        """Logits (b, n, codes) of each of the indices (b, n), given those before it."""
        # the first sees an index that there is not
        before = jnp.pad(indices[:, :-1], ((0, 0), (1, 0)), constant_values=self.codes)
        x = nn.Embed(self.codes + 1, self.width)(before)
        x += self.param("place", nn.initializers.normal(0.1), x.shape[1:])
        return nn.Dense(self.codes)(nn.RNN(nn.GRUCell(2 * self.width))(x))

    def log_prob(self, params: Any, indices: jax.Array) -> jax.Array:
        """log p of sequences (b, n), in nats, (b,)."""
        found = jax.nn.log_softmax(self.apply(params, indices))
        return jnp.take_along_axis(found, indices[..., None], -1)[..., 0].sum(-1)

    def sample(self, params: Any, key: jax.Array, count: int, length: int) -> jax.Array:
        """Sequences (count, length), one index after the other."""

        def draw(i, indices):
            logits = self.apply(params, indices)[:, i]
            return indices.at[:, i].set(jax.random.categorical(jax.random.fold_in(key, i), logits))

        return jax.lax.fori_loop(0, length, draw, jnp.zeros((count, length), int))


class Zoo:
    """Trains the four on one data set, images in [−1, 1] that take so many levels."""

    def __init__(self, config, images: np.ndarray, held_out: np.ndarray, levels: int, directory: Path):
        self.config, self.images, self.held_out, self.directory = config, images, held_out, directory
        self.shape, self.likelihood = images.shape[1:], discretised_logistic(levels)
        self.shown, self.key = jnp.asarray(held_out[:256]), jax.random.key(config.seed + 5)

    def vae(self) -> Member:
        """Gaussian codes under N(0, I)."""
        return self._gaussian(VAE, self._gated, self._gated.initial(self.config.seed, self.shape))

    def vamp_prior(self) -> Member:
        """Gaussian codes under the mixture of the posteriors of learned pseudo-inputs, which begin as images."""

        def prior(params):
            encode = partial(self._gated.encoder.apply, params["encoder"])
            return vamp_prior(encode, pseudo_inputs(params["pseudo"], -1.0, 1.0))

        first = jnp.asarray(self.images[: self.config.pseudo_inputs])
        begun = self._gated.initial(self.config.seed, self.shape) | {"pseudo": init_pseudo_inputs(first, -1.0, 1.0)}
        return self._gaussian(VAMP, self._gated._replace(prior=prior), begun)

    def vq_vae(self) -> Member:
        """Indices of a codebook that follows its encodings, under an autoregressive prior fitted afterwards."""
        config, size = self.config, self.config.codes
        begun, encode, decode = self._spatial()
        # the reconstruction sums over an image, the commitment is a mean
        weigh = {"codebook_weight": 0.0, "commitment": 0.25 * float(np.prod(self.shape))}

        def found(params, book, x):
            return vq_vae_loss(
                partial(encode, params), partial(decode, params), book.codes, x, likelihood=self.likelihood, **weigh
            )

        def loss(key, params, batch, book):
            losses, metrics, quantised = found(params, book, batch[0])
            book = codebook.update(book, quantised.encodings, quantised.indices)
            return losses, metrics, {"book": codebook.reset_dead(key, book, quantised.encodings)}

        first = encode(begun, jnp.asarray(self.images[: 4 * config.batch_size]))
        trained = train_network(
            config, begun, loss, (self.images,), self.directory / "vq-vae", seed=config.seed,
            carry={"book": codebook.from_encodings(self.key, first, size)},
            held_out_loss=lambda params, book: jnp.mean(found(params, book, self.shown)[0]),
        )  # fmt: skip
        # the codebook has followed these parameters, not their average
        params, codes = trained.params, trained.carry["book"].codes

        def indices(x):
            return quantise(encode(params, x), codes).indices.reshape(len(x), -1)

        seen = apply_in_batches(indices, self.images).astype(np.int32)
        prior, prior_params = self._fit_prior(seen)
        places = (self.shape[0] >> _STAGES, self.shape[1] >> _STAGES)

        def nll(x):
            index = indices(x)
            said = self.likelihood(x, decode(params, codes[index.reshape(-1, *places)]))
            rate = -prior.log_prob(prior_params, index)
            return jnp.stack([rate - said, rate], axis=-1)

        total, rate = apply_in_batches(nll, self.held_out).T
        drawn = jax.jit(partial(prior.sample, count=config.samples, length=seen.shape[1]))(prior_params, self.key)
        counts = codebook.count(jnp.asarray(seen), size)
        used, perplexity = int(jnp.sum(counts > 0)), float(codebook.perplexity(counts))
        return Member(
            VQ, trained.history, partial(encode, params),
            lambda z: _mean(decode(params, quantise(z, codes).codes)),
            np.asarray(_mean(decode(params, codes[drawn.reshape(-1, *places)]))), total, rate, total,
            f"{used} of {size} codes, perplexity {perplexity:.1f}",
        )  # fmt: skip

    def sc_vae(self) -> Member:
        """Sparse combinations of a dictionary's atoms, found by learned ISTA; nothing is said of them beforehand."""
        config = self.config
        begun, encode, decode = self._spatial()
        dictionary = sparse.unit_atoms(
            jax.random.normal(jax.random.key(config.seed + 2), (config.channels, config.atoms))
        )
        begun |= {"dictionary": dictionary, "lista": sparse.init_lista(dictionary, config.penalty)}

        def code(params, e):
            return sparse.lista(params["lista"], e, steps=config.iterations)

        def found(params, x):
            return sc_vae_loss(
                partial(encode, params), partial(code, params), sparse.unit_atoms(params["dictionary"]),
                partial(decode, params), x, likelihood=self.likelihood, sparsity=config.sparsity,
            )  # fmt: skip

        trained = train_network(
            config, begun, lambda key, params, batch: found(params, batch[0])[:2], (self.images,),
            self.directory / "sc-vae", seed=config.seed,
            held_out_loss=lambda params: jnp.mean(found(params, self.shown)[0]),
        )  # fmt: skip
        params = trained.averaged
        atoms = sparse.unit_atoms(params["dictionary"])

        def sparse_codes(x):
            return code(params, encode(params, x))

        def draw(z):
            return _mean(decode(params, z @ atoms.T))

        z = apply_in_batches(lambda x: sparse_codes(x).reshape(len(x), -1), self.held_out).reshape(-1, config.atoms)
        height, width = self.shape[0] >> _STAGES, self.shape[1] >> _STAGES
        size = float(np.abs(z).max()) or 1.0
        everywhere = size * jnp.eye(config.atoms)[:, None, None].repeat(height, 1).repeat(width, 2)
        return Member(
            SC, trained.history, sparse_codes, draw, None, None, None, None,
            f"{int(np.any(z, axis=0).sum())} of {config.atoms} atoms, {np.mean(z == 0):.0%} zeros, Hoyer "
            f"{float(jnp.mean(sparse.hoyer(jnp.asarray(z)))):.2f}",
            np.asarray(draw(everywhere)),
        )  # fmt: skip

    @cached_property
    def _gated(self) -> Autoencoder:
        hidden = (self.config.hidden, self.config.hidden)
        encoder = MLPEncoder(self.config.latents, hidden, "gated")
        return Autoencoder(encoder, MLPDecoder(self.shape, hidden, "gated", learned_scale=True), self.likelihood)

    def _gaussian(self, name: str, autoencoder: Autoencoder, begun: Any) -> Member:
        config = self.config
        trained = train(
            config, autoencoder, begun, self.images, self.shown, self.directory / name.lower(), seed=config.seed,
            warm_up=config.warm_up,
        )  # fmt: skip
        params, model = trained.params, autoencoder.model(trained.params)

        def weigh(x):
            q = model.encode(x)
            nll = negative_log_likelihood(self.key, model, x, samples=config.importance_samples)
            z = q.sample(self.key)
            rate = q.log_density(z) - model.prior.log_density(z)
            bound = rate - self.likelihood(x, model.decode(z))
            return jnp.concatenate([jnp.stack([nll, rate, bound], axis=-1), q.mean], axis=-1)

        found = apply_in_batches(weigh, self.held_out)
        spread = np.var(found[:, 3:], axis=0)
        keys = jax.random.split(self.key, config.samples)
        return Member(
            name, trained.history, lambda x: model.encode(x).mean, partial(autoencoder.image, params),
            np.asarray(trained.generate(params, keys, (config.latents,))), found[:, 0], found[:, 1], found[:, 2],
            f"{int(np.sum(spread > 0.01))} of {config.latents} dimensions",
            np.asarray(pseudo_inputs(params["pseudo"], -1.0, 1.0)) if "pseudo" in params else None,
        )  # fmt: skip

    def _spatial(self):
        """First parameters, and encode(params, x) and decode(params, e) of a latent that keeps its places."""
        config = self.config
        encoder = SpatialEncoder(config.channels, _STAGES, config.width)
        decoder = SpatialDecoder(self.shape[-1], _STAGES, config.width, learned_scale=True)
        x = jnp.zeros((1, *self.shape))
        begun = {"encoder": initial_parameters(encoder, config.seed, x)}
        e = jax.eval_shape(encoder.apply, begun["encoder"], x)
        begun["decoder"] = initial_parameters(decoder, config.seed + 1, jnp.zeros(e.shape))
        return (
            begun,
            lambda params, x: encoder.apply(params["encoder"], x),
            lambda params, e: decoder.apply(params["decoder"], e),
        )

    def _fit_prior(self, indices: np.ndarray) -> tuple[CodePrior, Any]:
        config = self.config
        prior = CodePrior(config.codes, config.width)
        begun = initial_parameters(prior, config.seed, jnp.asarray(indices[:1]))
        trained = train_network(
            replace(config, steps=config.prior_steps), begun,
            lambda key, params, batch: -prior.log_prob(params, batch[0]), (indices,), self.directory / "vq-prior",
            seed=config.seed, held_out_loss=lambda params: -jnp.mean(prior.log_prob(params, indices[:256])),
        )  # fmt: skip
        return prior, trained.averaged


def _mean(said) -> jax.Array:
    """The mean image of what a decoder says, in [−1, 1]."""
    return jnp.clip(said.mean, -1, 1)

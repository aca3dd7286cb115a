"""SC-VAE: sparse combinations of a dictionary's atoms, found by learned ISTA; there is no prior over codes."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.run import Run
from experiments.kit.training import train_network
from experiments.vae_zoo.config import Config
from experiments.vae_zoo.data import Data
from experiments.vae_zoo.model import SC, Model, Usage
from experiments.vae_zoo.spatial import spatial
from jaxgen.distributions.likelihoods import discretised_logistic
from jaxgen.vae import sc_vae_loss, sparse


def train_sc_vae(run: Run[Config], data: Data) -> Model:
    """Train the networks, the dictionary and learned ISTA together."""
    config, nets, likelihood = run.config, spatial(run.config, data), discretised_logistic(data.levels)
    shown = jnp.asarray(data.held_out.images[:256])

    def code(params: Any, e: jax.Array) -> jax.Array:
        return sparse.lista(params["lista"], e, steps=config.iterations)

    def found(params: Any, x: jax.Array):
        return sc_vae_loss(
            partial(nets.encode, params), partial(code, params), sparse.unit_atoms(params["dictionary"]),
            partial(nets.decode, params), x, likelihood=likelihood, sparsity=config.sparsity,
        )  # fmt: skip

    trained = train_network(
        run, "sc-vae", nets.initial(config.seed) | first_dictionary(config),
        lambda key, params, batch: found(params, batch[0])[:2], (data.train.images,), seed=config.seed,
        held_out_loss=lambda params: jnp.mean(found(params, shown)[0]),
    )  # fmt: skip
    return Model(
        SC,
        trained.averaged,
        trained.history,
        encode=lambda params, x: code(params, nets.encode(params, x)),
        decode=lambda params, z: nets.image(params, z @ sparse.unit_atoms(params["dictionary"]).T),
        usage=used_atoms,
    )


def first_dictionary(config: Config) -> dict[str, Any]:
    """First parameters of the dictionary and of learned ISTA, which begins as ISTA with that dictionary."""

    @jax.jit
    def first(key: jax.Array) -> dict[str, Any]:
        dictionary = sparse.unit_atoms(jax.random.normal(key, (config.channels, config.atoms)))
        return {"dictionary": dictionary, "lista": sparse.init_lista(dictionary, config.penalty)}

    return first(jax.random.key(config.seed + 2))


def used_atoms(codes: np.ndarray) -> Usage:
    """The atoms that occur in codes (n, *places, atoms), the share of zeros, and the mean of Hoyer's sparsity."""
    z = codes.reshape(-1, codes.shape[-1])
    used, hoyer = int(np.any(z, axis=0).sum()), float(np.mean(jax.jit(sparse.hoyer)(z)))
    return Usage(used, z.shape[1], zeros=float(np.mean(z == 0)), hoyer=hoyer)


def single_atoms(codes: np.ndarray, count: int) -> np.ndarray:
    """Codes (count, *places, atoms) of one atom each, at all places, in the largest size that occurs in `codes`."""
    size = float(np.abs(codes).max()) or 1.0
    one = size * np.eye(codes.shape[-1], dtype=np.float32)[:count, None, None]
    return np.broadcast_to(one, (len(one), *codes.shape[1:])).copy()

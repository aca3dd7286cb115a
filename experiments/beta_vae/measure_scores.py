"""Scores of disentanglement and the terms of the objective, by model, and how they change with β."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.beta_vae.data import Data
from experiments.beta_vae.measure_codes import encode, in_batches
from experiments.kit.autoencoder import Autoencoder, Trained
from experiments.kit.statistics import verdict
from jaxgen.metrics import binned_mig, dci, modularity, posterior_mig, sap
from jaxgen.vae import elbo

FOREST_CODES = 2000  # codes on which DCI's forests are trained, in seconds
ACTIVE = 0.1  # nats of KL from which on a dimension counts as used


class Scores(NamedTuple):
    """What is measured of one trained model.

    Attributes:
        mig: mutual information gap of binned mean codes (Locatello et al. 2019).
        gaps: that gap by factor, (5,).
        chen: mutual information gap of samples of q(z|x) (Chen et al. 2018).
        disentanglement: DCI's disentanglement.
        modularity: modularity.
        sap: separated attribute predictability.
        reconstruction: −E log p(x|z) of held-out images in nats.
        kl: KL of q(z|x) to the prior on held-out images in nats.
        active: number of dimensions whose KL exceeds `ACTIVE`.
    """

    mig: float
    gaps: np.ndarray
    chen: float
    disentanglement: float
    modularity: float
    sap: float
    reconstruction: float
    kl: float
    active: int


class Trend(NamedTuple):
    """How a value changes with β, beyond chance over the seeds.

    Attributes:
        direction: 1 if it rises, −1 if it falls, 0 for neither.
        every_step: whether it does so from each β to the next; otherwise from the first to the last.
    """

    direction: int
    every_step: bool


def scores(model: Trained, data: Data, probe: int) -> Scores:
    """Every score of a model, of the first `probe` training images, and the objective's terms on held-out images."""
    images = data.train.take(slice(probe))
    codes, factors = encode(model, images), images.factors[:, 1:]
    binned = binned_mig(codes.mean, factors)
    terms = in_batches(partial(_terms, model.autoencoder, model.params), data.held_out.take(slice(2048)))
    return Scores(
        mig=binned.score,
        gaps=binned.per_factor,
        chen=posterior_mig(codes.mean, codes.std, factors[:, 1:], samples=2000).score,
        disentanglement=dci(codes.mean[:FOREST_CODES], factors[:FOREST_CODES]).disentanglement,
        modularity=modularity(codes.mean, factors),
        sap=sap(codes.mean, factors, categorical=(0,)).score,
        reconstruction=float(terms[:, 0].mean()),
        kl=float(terms[:, 1].mean()),
        active=int(np.sum(codes.kl > ACTIVE)),
    )


def values(of: Mapping[str, Sequence[Scores]], name: str) -> dict[str, np.ndarray]:
    """One score by β, an array over the seeds."""
    return {beta: np.array([getattr(score, name) for score in each], float) for beta, each in of.items()}


def trend(by_beta: Mapping[Any, np.ndarray]) -> Trend:
    """How values, by ascending β, change; seeds are paired, because they share first parameters and batches."""
    rows = list(by_beta.values())
    steps = {_direction(a, b) for a, b in pairwise(rows)}
    if len(steps) == 1 and 0 not in steps:
        return Trend(steps.pop(), True)
    return Trend(_direction(rows[0], rows[-1]), False)


def _direction(a: np.ndarray, b: np.ndarray) -> int:
    return {"better": 1, "worse": -1, "within chance": 0}[verdict(b, a, best="high")]


@partial(jax.jit, static_argnums=0)
def _terms(autoencoder: Autoencoder, params: Any, x: jax.Array) -> jax.Array:
    """−log p(x|z) and KL of each image, (n, 2), in nats, by one draw of z."""
    found = elbo(jax.random.key(5), autoencoder.model(params), x)
    return jnp.stack([found.reconstruction, found.kl], axis=-1)

"""What the four autoencoders have in common, whatever their codes are."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgen.training import History

VAE, VAMP, VQ, SC = "VAE", "VampPrior", "VQ-VAE", "SC-VAE"


class LogLikelihood(NamedTuple):
    """What a model says of images, each (b,) in nats.

    Attributes:
        nll: −log p(x), or an upper bound on it.
        rate: the KL divergence of the code from the prior, or −log p(indices).
        bound: −ELBO.
    """

    nll: jax.Array
    rate: jax.Array
    bound: jax.Array


class Usage(NamedTuple):
    """How much of its code a model uses.

    Attributes:
        used: number of dimensions, codes or atoms that are used.
        of: number that there are.
        perplexity: of the codes of a codebook.
        zeros: share of zeros in sparse codes.
        hoyer: mean sparsity of Hoyer of sparse codes, in [0, 1].
    """

    used: int
    of: int
    perplexity: float | None = None
    zeros: float | None = None
    hoyer: float | None = None


class Model(NamedTuple):
    """A trained autoencoder; its functions take the parameters, so that no program has them as constants.

    Attributes:
        name: its name.
        params: its parameters.
        history: the history of its losses.
        encode: (params, images (b, h, w, c)) -> codes (b, *d), which can be mixed.
        decode: (params, codes (b, *d)) -> mean images (b, h, w, c) in [−1, 1].
        usage: codes of held-out images (n, *d) -> how much of the code is used.
        log_likelihood: (params, keys (b,), images (b, h, w, c)) -> `LogLikelihood`; None without a prior.
        sample: (params, keys (b,), None) -> mean images (b, h, w, c) of codes from the prior; None without a prior.
    """

    name: str
    params: Any
    history: History
    encode: Callable[[Any, jax.Array], jax.Array]
    decode: Callable[[Any, jax.Array], jax.Array]
    usage: Callable[[np.ndarray], Usage]
    log_likelihood: Callable[[Any, jax.Array, jax.Array], LogLikelihood] | None = None
    sample: Callable[[Any, jax.Array, None], jax.Array] | None = None

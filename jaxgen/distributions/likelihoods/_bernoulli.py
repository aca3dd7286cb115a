"""The likelihood of binary data."""

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxgen.core import as_float, is_traced
from jaxgen.distributions.likelihoods.levels import Likelihood, check_shape, event_sum


def bernoulli() -> Likelihood:
    """The likelihood (x, logits) -> Σ x log p + (1 − x) log(1 − p) in nats, with p = sigmoid(logits).

    For x in {0, 1} this is a log-probability. In between it is a cross-entropy, which is not a normalised density of
    grey values. Value and gradient are accurate for logits of any size.

    Returns:
        A function of x (B, *event) in [0, 1] and logits of that shape. It raises ValueError if logits have another
        shape, or concrete x is outside [0, 1].
    """

    def log_probability(x: Float[Array, "b *event"], logits: Float[Array, "b *event"]) -> Float[Array, " b"]:
        check_shape(x, logits)
        if not is_traced(x) and not np.all((np.asarray(x) >= 0) & (np.asarray(x) <= 1)):
            raise ValueError("bernoulli needs x in [0, 1]: rescale the data, for instance (x + 1) / 2")
        logits = as_float(logits)
        x = x.astype(logits.dtype)
        return event_sum(x * jax.nn.log_sigmoid(logits) + (1 - x) * jax.nn.log_sigmoid(-logits))

    return log_probability

"""Binary data."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.distributions.likelihoods.levels import Likelihood, check_shape, event_sum


def bernoulli() -> Likelihood:
    """(x in [0, 1], logits) -> Σ x log p + (1 − x) log(1 − p) with p = sigmoid(logits), in nats, (B,).

    For x in {0, 1} a log-probability; in between, the cross-entropy to a pixel that is on with probability x, which is
    no normalised density of grey values. Logits of any size keep value and gradient, which is x − p.
    Raises ValueError, when called, for logits of another shape and for concrete x outside [0, 1].
    """

    def log_probability(x: Float[Array, "b *event"], logits: Float[Array, "b *event"]) -> Float[Array, " b"]:
        check_shape(x, logits)
        if not isinstance(x, jax.core.Tracer) and not np.all((np.asarray(x) >= 0) & (np.asarray(x) <= 1)):
            raise ValueError("bernoulli needs x in [0, 1]: rescale the data, for instance (x + 1) / 2")
        logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        x = x.astype(logits.dtype)
        return event_sum(x * jax.nn.log_sigmoid(logits) + (1 - x) * jax.nn.log_sigmoid(-logits))

    return log_probability

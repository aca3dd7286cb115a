"""Dequantisation: noise that turns integers into real numbers, and the bound on their probability."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, Shaped

from jaxgen.core import check_at_least, is_traced
from jaxgen.distributions import Distribution
from jaxgen.flows._flow import Flow
from jaxgen.flows.bijections import Bijection, chain
from jaxgen.flows.elementwise_maps import logit

Dequantiser = Callable[[Array, Array], tuple[Array, Array]]
"""(key, y (B, *event) in [0, 1)) -> (u (B, *event) in [0, 1], log q(u | y) (B,))."""


def uniform_dequantiser() -> Dequantiser:
    """Noise u that is uniform in (0, 1), with log q(u) = 0.

    Returns:
        The dequantiser.

    Reference:
        Uria et al. 2013, "RNADE", §5.1.
    """

    def draw(key: Key[Array, ""], y: Float[Array, "b *event"]) -> tuple[Array, Array]:
        # a grid, so that x + u stays below x + 1 in float32 for 256 levels
        cells = 2**13
        u = (jax.random.randint(key, y.shape, 0, cells).astype(y.dtype) + 0.5) / cells
        return u, jnp.zeros(y.shape[0], y.dtype)

    return draw


def variational_dequantiser(noise_flow: Callable[[Array], Bijection], base: Distribution) -> Dequantiser:
    """Noise u = sigmoid(g(ε; y)) from a flow that knows the image, trained with the model.

    Args:
        noise_flow: a conditional bijection, from images y (B, *event) in [0, 1) to a `Bijection` of examples of their
            shape. Its `inverse` makes noise of the base's draws. The sigmoid follows it.
        base: the distribution of the base's draws.

    Returns:
        The dequantiser.

    Reference:
        Ho et al. 2019, "Flow++", eq. 10 to 12 and §3.1.
    """

    def draw(key: Key[Array, ""], y: Float[Array, "b *event"]) -> tuple[Array, Array]:
        # u -> logit(u) -> the base's space
        flow = Flow(chain([logit(), noise_flow(y)]), base)
        return flow.sample_with_log_density(key, y.shape)

    return draw


def dequantised_bound(
    key: Key[Array, ""],
    model: Distribution,
    images: Shaped[ArrayLike, "b *event"],
    *,
    levels: int = 256,
    dequantiser: Dequantiser | None = None,
    samples: int = 1,
) -> Float[Array, " b"]:
    """A lower bound on the log-probability of integer images under a density of real ones.

    With y = (x + u)/levels in [0, 1), the model's density gives P(x) = ∫ p(x + u) du, and

        log P(x) ≥ E_q[log p(y) − log q(u | x)] − D log levels.

    Several draws of u tighten the bound: their importance weights are averaged.

    Args:
        key: key of the noise.
        model: the `Distribution` of y in [0, 1)^D; a flow of images in [0, 1] begins with `logit`.
        images: integers (B, *event) in [0, levels), of any dtype that holds them.
        levels: number of levels, at least 2.
        dequantiser: (key, x/levels) -> (u, log q(u | x)); `uniform_dequantiser()` by default.
        samples: draws of u per image, at least 1.

    Returns:
        The bounds (B,) in nats. `metrics.bits_per_dim(bound, D)` are bits per dimension, without an offset; a uniform
        density has log₂ levels of them.

    Raises:
        ValueError: if levels < 2, samples < 1, images are not integers, or concrete images have other values.

    Reference:
        Theis et al. 2016, "A note on the evaluation of generative models", §3.1; Ho et al. 2019, "Flow++", eq. 8, 12.
    """
    check_at_least(2, levels=levels)
    check_at_least(1, samples=samples)
    if not jnp.issubdtype(jnp.result_type(images), jnp.integer):
        raise ValueError(f"images must be integers in [0, {levels}), got {jnp.result_type(images)}")
    if not is_traced(images):
        values = np.asarray(images)  # within jit, operations of a concrete jax.Array are traced
        if not 0 <= values.min() <= values.max() < levels:
            raise ValueError(
                f"images of {levels} levels have values 0 to {levels - 1}, got {values.min()} to {values.max()}"
            )
    dequantise = uniform_dequantiser() if dequantiser is None else dequantiser
    y = jnp.asarray(images, jnp.float32) / levels

    def one(key: Key[Array, ""]) -> Float[Array, " b"]:
        u, log_q = dequantise(key, y)
        return model.log_density(y + u / levels) - log_q

    terms = one(key)[None] if samples == 1 else jax.lax.map(one, jax.random.split(key, samples))
    return jax.nn.logsumexp(terms, axis=0) - math.log(samples) - math.prod(y.shape[1:]) * math.log(levels)

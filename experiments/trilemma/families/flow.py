"""The normalizing flow."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from experiments.trilemma.config import Config
from experiments.trilemma.data import Data
from experiments.trilemma.family import Family, Likelihood, Network, Way
from jaxgen import flows
from jaxgen.distributions import standard_normal
from jaxgen.nets import ConvConditioner

TO_REAL = flows.logit(0.05)
FIRST = 256  # images from which actnorm is initialised


def family(config: Config, data: Data) -> Family:
    """Glow, trained by the exact likelihood of dequantised images."""
    net, levels = ConvConditioner(outputs=2, channels=config.glow_channels), data.levels
    glow = flows.glow(net.init, net.apply, data.shape, levels=config.scales, steps=config.glow_steps)

    def flow(params: Any) -> flows.Flow:
        return flows.Flow(flows.chain([TO_REAL, glow.bijection(params)]), standard_normal())

    def initial(seed: int) -> Any:
        y = jnp.asarray(data.integers[:FIRST], jnp.float32)
        u, _ = flows.uniform_dequantiser()(jax.random.key(seed), y)
        real, _ = TO_REAL.forward((y + u) / levels)
        return jax.jit(glow.init)(jax.random.key(seed + 1), real)

    def loss(key: jax.Array, params: Any, integers: jax.Array) -> jax.Array:
        bound = flows.dequantised_bound(key, flow(params), integers, levels=levels)
        return -bound / (math.prod(data.shape) * math.log(2))

    def draw(params: Any, keys: jax.Array) -> jax.Array:
        z = jax.vmap(lambda key: jax.random.normal(key, (math.prod(data.shape),)))(keys)
        y, _ = flow(params).bijection.inverse(z)
        return 2 * y - 1

    def log_probability(params: Any, key: jax.Array, integers: jax.Array) -> jax.Array:
        bound = partial(flows.dequantised_bound, key, flow(params), levels=levels, samples=config.importance_samples)
        return bound(integers)

    def encode(params: Any, integers: jax.Array) -> jax.Array:
        z, _ = flow(params).bijection.forward((jnp.asarray(integers, jnp.float32) + 0.5) / levels)
        return z.reshape(len(z), -1)

    return Family(
        title="normalizing flow",
        networks=("bijection",),
        training=Network(initial, loss, config.learning_rate),
        ways={"flow": Way(draw, 1, "Glow")},
        likelihood=Likelihood("exact", log_probability),
        encode=encode,
    )

"""Flows of the plane of every kind: their first parameters, the flow of given ones, and their losses."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from experiments.flows.config import Config
from experiments.flows.densities import RADIUS
from jaxgen import flows
from jaxgen.diffusion import denoising_loss, rectified_flow
from jaxgen.distributions import standard_normal
from jaxgen.nets import MADE, MLPConditioner

HIDDEN = (64, 64)
SPLINE, AFFINE = flows.spline_map(bins=10, bound=3.5), flows.affine_map()
STANDARDISED = flows.scale_and_shift(np.sqrt(2) / RADIUS)  # a point of the circle has root mean square RADIUS/√2


class Kind(NamedTuple):
    """A kind of flow.

    Attributes:
        init: key -> parameters.
        flow: parameters -> the flow.
        loss: (key, parameters, x (n, 2)) -> losses (n,).
        steps: training steps.
        sampling: network calls of the whole flow for a sample, in words.
    """

    init: Callable[[jax.Array], Any]
    flow: Callable[[Any], flows.Flow]
    loss: Callable[[jax.Array, Any, jax.Array], jax.Array]
    steps: int
    sampling: str


@lru_cache(maxsize=1)  # whatever is compiled for a flow serves both densities
def kinds(config: Config) -> dict[str, Kind]:
    """All kinds by name."""
    steps, affine, spline = config.plane_steps, config.affine_layers, config.spline_layers
    return {
        "affine coupling": _layered(
            MLPConditioner(AFFINE.size, HIDDEN), affine, 1, _coupling(AFFINE), steps, str(affine)
        ),
        "spline coupling": _layered(
            MLPConditioner(SPLINE.size, HIDDEN), spline, 1, _coupling(SPLINE), steps, str(spline)
        ),
        "autoregressive spline": _layered(
            MADE(SPLINE.size, HIDDEN), spline, 2, _autoregressive, steps, str(2 * spline)
        ),
        "continuous, by likelihood": _continuous(config.likelihood_ode_steps, matching=False),
        "continuous, by flow matching": _continuous(2 * steps, matching=True),
    }


def _coupling(scalar_map: flows.ScalarMap) -> Callable[..., flows.Bijection]:
    return lambda network, i: flows.coupling(network, scalar_map, flip=i % 2 == 1)


def _autoregressive(network: Callable[[jax.Array], jax.Array], i: int) -> flows.Bijection:
    return flows.chain([flows.masked_autoregressive(network, SPLINE), flows.permutation([1, 0])])


def _layered(
    net: Any, depth: int, inputs: int, layer: Callable[..., flows.Bijection], steps: int, sampling: str
) -> Kind:
    """A chain of layers, each with a network of its own."""

    def init(key):
        return [net.init(jax.random.fold_in(key, i), jnp.zeros((1, inputs))) for i in range(depth)]

    def flow(params):
        layers = [layer(lambda x, each=each: net.apply(each, x), i) for i, each in enumerate(params)]
        return flows.Flow(flows.chain([STANDARDISED, *layers]), standard_normal())

    return Kind(init, flow, lambda key, params, x: -flow(params).log_density(x), steps, sampling)


def _continuous(steps: int, *, matching: bool) -> Kind:
    """The ODE of a network of x and t, trained by likelihood with steps of a fixed size or by flow matching."""
    net = MLPConditioner(2, (*HIDDEN, 64))
    fixed = {
        "controller": diffrax.ConstantStepSize(),
        "first_step": 1 / 8,
        "solver": diffrax.Midpoint(),
        "max_steps": 9,
    }

    def velocity(params):
        return lambda x, t: net.apply(params, x, jnp.broadcast_to(t, x.shape[:1])[:, None])

    def flow(params, **options):
        ode = flows.continuous(velocity(params), **options)
        return flows.Flow(flows.chain([STANDARDISED, ode]), standard_normal())

    def matching_loss(key, params, x):
        noise_key, key = jax.random.split(key)
        x, _ = STANDARDISED.forward(x)
        noise = jax.random.normal(noise_key, x.shape)
        network = velocity(params)
        return denoising_loss(
            key, rectified_flow(), lambda x, t, cond: network(x, t), x, predicts="velocity", noise=noise
        )

    def likelihood_loss(key, params, x):
        return -flow(params, **fixed).log_density(x)

    def init(key):
        return net.init(key, jnp.zeros((1, 2)), jnp.zeros((1, 1)))

    return Kind(init, flow, matching_loss if matching else likelihood_loss, steps, "an ODE")

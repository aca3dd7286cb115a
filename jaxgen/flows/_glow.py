"""Glow: steps of actnorm, permutation, 1×1 convolution and coupling at several scales, with its initialisation."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from jaxgen.core import check_at_least
from jaxgen.flows._actnorm import ActnormParams, actnorm, init_actnorm
from jaxgen.flows._coupling import coupling
from jaxgen.flows.bijections import Bijection, as_batch, chain
from jaxgen.flows.image_layers import multi_scale, squeeze
from jaxgen.flows.linear import LULinearParams, init_lu_linear, lu_linear, permutation
from jaxgen.flows.scalar_maps import ScalarMap, affine_map


class GlowStepParams(NamedTuple):
    """Parameters of one step of `glow`."""

    actnorm: ActnormParams
    linear: LULinearParams
    network: Any


class Glow(NamedTuple):
    """A multi-scale flow of images as two pure functions; made by `glow`.

    Args:
        init: (key, x (B, h, w, c)) -> parameters, which give the activations of this batch mean 0 and variance 1.
        bijection: parameters, a list of `GlowStepParams` for each level -> `Bijection` from (B, h, w, c) to flat
            latents (B, d).
    """

    init: Callable[[Array, Array], Any]
    bijection: Callable[[Any], Bijection]


def glow(
    init_network: Callable[[Array, Array], Any],
    network: Callable[[Any, Array], Array],
    event: tuple[int, int, int],
    *,
    levels: int = 2,
    steps: int = 8,
    scalar_map: ScalarMap | None = None,
) -> Glow:
    """Glow: at each scale a squeeze and steps of actnorm, permutation, 1×1 convolution and coupling.

    Where Glow draws a random rotation for each convolution, a step has a fixed random permutation and a convolution
    that begins as the identity. The permutations depend on the level and the step alone.

    Args:
        init_network: (key, x (B, h, w, c₁)) -> parameters of a coupling's network, such as `net.init`.
        network: (parameters, x (B, h, w, c₁)) -> (B, h, w, c₁ · scalar_map.size), such as `net.apply`. Squeezed images
            have an even number of channels, so both parts have c₁. One network serves all levels, whose c₁ differ.
        event: (h, w, c), with sides divisible by 2^levels.
        levels: number of scales, at least 1.
        steps: number of steps at each scale, at least 1.
        scalar_map: the map of each number in the couplings; `affine_map(largest=1 + e⁻²)`, Glow's, by default.

    Returns:
        The initialisation, and the bijection of parameters.

    Raises:
        ValueError: if levels or steps are below 1, or the sides are not divisible.

    Reference:
        Kingma & Dhariwal 2018, "Glow: Generative flow with invertible 1×1 convolutions", figure 2.

    Example:
        >>> net = nets.ConvConditioner(channels=32, outputs=2)
        >>> model = flows.glow(net.init, net.apply, (16, 16, 3))
        >>> params = model.init(jax.random.key(0), x)
        >>> flow = flows.Flow(model.bijection(params), distributions.standard_normal())
    """
    check_at_least(1, levels=levels, steps=steps)
    height, width, channels = event
    if height % 2**levels or width % 2**levels:
        raise ValueError(f"{levels} levels halve the sides {levels} times: {height} × {width} is not divisible")
    scalar_map = affine_map(1 + math.exp(-2)) if scalar_map is None else scalar_map
    # c channels become 4c by a squeeze, of which half go on
    orders = [
        [np.random.default_rng((level, step)).permutation(2 ** (level + 2) * channels) for step in range(steps)]
        for level in range(levels)
    ]

    def step(params: GlowStepParams, order: np.ndarray) -> Bijection:
        return chain(
            [
                actnorm(ActnormParams(*params.actnorm)),
                permutation(order),
                lu_linear(LULinearParams(*params.linear)),
                coupling(lambda x: network(params.network, x), scalar_map),
            ]
        )

    def init(key: Key[Array, ""], x: Float[Array, "b h w c"]) -> list[list[GlowStepParams]]:
        x = as_batch(x)
        found = []
        for level, level_orders in enumerate(orders):
            x, _ = squeeze().forward(x)
            half, params = x.shape[-1] // 2, []
            for i, order in enumerate(level_orders):
                network_params = init_network(jax.random.fold_in(key, level * steps + i), x[..., :half])
                params.append(GlowStepParams(init_actnorm(x), init_lu_linear(x.shape[-1]), network_params))
                x, _ = step(params[-1], order).forward(x)
            found.append(params)
            x = x[..., :half]
        return found

    def bijection(params: Any) -> Bijection:
        parts = [
            chain([squeeze(), *(step(GlowStepParams(*each), order) for each, order in zip(of, level, strict=True))])
            for of, level in zip(params, orders, strict=True)
        ]
        return multi_scale(parts, event)

    return Glow(init, bijection)

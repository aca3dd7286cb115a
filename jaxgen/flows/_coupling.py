"""Coupling layers: one part of an example sets the parameters of a map of the other part."""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxgen.flows.bijections import Bijection, as_batch, sum_event
from jaxgen.flows.scalar_maps import ScalarFunction, ScalarMap

Conditioner = Callable[[Array], Array]
"""x (B, *event) -> the parameters of scalar maps, (B, *event, size) or with the last two axes in one."""


def coupling(conditioner: Conditioner, scalar_map: ScalarMap, *, flip: bool = False) -> Bijection:
    """A coupling layer that splits the last axis into halves.

    The first ⌊c/2⌋ channels pass unchanged and set the parameters of the maps of the others; with `flip` the others
    pass. Both directions cost one call of the conditioner.

    Args:
        conditioner: a network with its parameters, from the part that passes, (B, *space, c₁), to the parameters for
            the part that is mapped, (B, *space, c₂ · size). Zeros make the identity if the map has this property.
        scalar_map: the map of each number, such as `affine_map()` or `spline_map()`.
        flip: whether the first part is mapped, and the second passes.

    Returns:
        The bijection.

    Raises:
        ValueError: when called, if x has fewer than two channels, or the conditioner's output has another size.

    Reference:
        Dinh et al. 2017, "Density estimation using Real NVP", eq. 4 to 8.

    Example:
        >>> layer = flows.coupling(lambda x: net.apply(params, x), flows.spline_map())
    """

    def through(function: ScalarFunction) -> Callable[[Array], tuple[Array, Array]]:
        def mapped(x: Float[Array, "b *event"]) -> tuple[Array, Array]:
            x = as_batch(x)
            if x.shape[-1] < 2:
                raise ValueError(
                    f"a coupling splits the last axis, which needs two entries or more, got shape {x.shape}: squeeze "
                    "images first, or use masked_coupling"
                )
            first, second = jnp.split(x, [x.shape[-1] // 2], axis=-1)
            passed, changed = (second, first) if flip else (first, second)
            z, log_slope = function(params_of(conditioner(passed), changed, scalar_map.size), changed)
            parts = (z, passed) if flip else (passed, z)
            return jnp.concatenate(parts, axis=-1), sum_event(log_slope)

        return mapped

    return Bijection(through(scalar_map.forward), through(scalar_map.inverse))


def masked_coupling(conditioner: Conditioner, scalar_map: ScalarMap, mask: Bool[np.ndarray, "*event"]) -> Bijection:
    """A coupling layer whose mask says which entries of an example pass.

    Args:
        conditioner: a network with its parameters, from x with zeros in place of the entries that are mapped, (B,
            *event), to parameters for every entry, (B, *event, size) or with the last two axes in one. Those of entries
            that pass are not used.
        scalar_map: the map of each number.
        mask: True for the entries that pass, (*event), such as `checkerboard_mask`.

    Returns:
        The bijection.

    Raises:
        ValueError: if the mask is not boolean or passes all entries or none; when called, if x has another shape, or
            the conditioner's output has another size.

    Reference:
        Dinh et al. 2017, "Density estimation using Real NVP", eq. 9.
    """
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.all() or not mask.any():
        raise ValueError("mask must be boolean, with both True (passes) and False (is mapped)")

    def through(function: ScalarFunction) -> Callable[[Array], tuple[Array, Array]]:
        def mapped(x: Float[Array, "b *event"]) -> tuple[Array, Array]:
            x = as_batch(x)
            if x.shape[1:] != mask.shape:
                raise ValueError(f"the mask has shape {mask.shape}, examples have {x.shape[1:]}")
            params = params_of(conditioner(jnp.where(mask, x, 0)), x, scalar_map.size)
            z, log_slope = function(params, x)
            return jnp.where(mask, x, z), sum_event(jnp.where(mask, 0, log_slope))

        return mapped

    return Bijection(through(scalar_map.forward), through(scalar_map.inverse))


def checkerboard_mask(event: tuple[int, ...], *, flip: bool = False) -> Bool[np.ndarray, "*event"]:
    """A mask for `masked_coupling`: True where the sum of the indices of all axes but the last is even.

    Examples of one axis (d,) alternate along it.

    Args:
        event: shape of an example: (d,) or (*space, c).
        flip: exchange True and False.

    Returns:
        The mask, of the shape of an example.
    """
    axes = event if len(event) == 1 else event[:-1]
    even = np.indices(axes).sum(0) % 2 == (1 if flip else 0)
    return even if len(event) == 1 else np.broadcast_to(even[..., None], event)


def params_of(output: Float[Array, "b *out"], x: Float[Array, "b *event"], size: int) -> Float[Array, "b *event size"]:
    """A conditioner's output as (*x.shape, size), in x's dtype; raise ValueError if it has another size."""
    *lead, channels = x.shape
    if output.shape not in ((*lead, channels * size), (*x.shape, size)):
        raise ValueError(
            f"the conditioner must return {size} parameters for each of {math.prod(x.shape[1:])} numbers: "
            f"{(*lead, channels * size)} or {(*x.shape, size)}, got {output.shape}"
        )
    return output.reshape(*x.shape, size).astype(x.dtype)

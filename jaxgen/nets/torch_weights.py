"""PyTorch's weights of convolutional networks as Flax variables, by the names of the layers."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

# Flax's collection and name of a variable, and PyTorch's
_NAMES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("params", "bias"): "bias",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}


def flax_variables(net: nn.Module, input_shape: tuple[int, ...], weights: Mapping[str, np.ndarray]) -> Any:
    """The variables of a network from a state_dict whose layers have the network's names; others are left out.

    Args:
        net: the network.
        input_shape: shape of its input.
        weights: arrays by name, such as "conv.weight".

    Returns:
        The variables, float32.

    Raises:
        ValueError: if an array is missing or has another shape.
    """
    shapes = jax.eval_shape(net.init, jax.random.key(0), jax.ShapeDtypeStruct(input_shape, jnp.float32))
    found = {}
    for path, leaf in flatten_dict(shapes).items():
        name = ".".join([*path[1:-1], _NAMES[path[0], path[-1]]])
        if name not in weights:
            raise ValueError(f"the weights lack {name!r} of {type(net).__name__}: they are of another network")
        value = np.asarray(weights[name], np.float32)
        if path[-1] == "kernel":  # (out, in, *size) of PyTorch, (*size, in, out) of Flax
            value = np.moveaxis(value, (0, 1), (-1, -2))
        if value.shape != leaf.shape:
            raise ValueError(f"{name!r} must have shape {leaf.shape} in Flax's order, got {value.shape}")
        found[path] = jnp.asarray(value)
    return unflatten_dict(found)

"""Averaged parameters as safetensors files, which other programs read too."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict
from safetensors.numpy import load_file, save

from jaxgen.core import write_atomically


def save_parameters(path: Path, params: Any) -> None:
    """Write parameters to a safetensors file; the names of a tensor's path are joined by '/'.

    A tree that is not of dicts alone, such as a learned schedule's, is written by JAX's names of its leaves.

    Args:
        path: the file.
        params: a pytree of arrays.
    """
    if jax.process_index():
        return
    name = partial(jax.tree_util.keystr, simple=True, separator="/")
    leaves = jax.tree_util.tree_leaves_with_path(params)
    named = {name(path): np.ascontiguousarray(leaf) for path, leaf in leaves}
    content = save(named, metadata={"format": "jaxgen"})
    write_atomically(path, lambda file: file.write(content))


def load_parameters(path: Path | str) -> dict[str, Any]:
    """Read the nested dict of parameters that `save_parameters` wrote.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist: a run writes it when its network is trained")
    return unflatten_dict(load_file(path), sep="/")

"""Whether a value is known, or traced by jit, grad or vmap."""

from typing import Any

import jax


def is_traced(*values: Any) -> bool:
    """Whether any leaf of the values is traced.

    Args:
        *values: pytrees of any values.

    Returns:
        True if a leaf is a JAX tracer, whose value is not known.
    """
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))

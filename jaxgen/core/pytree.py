"""Frozen dataclasses that are pytrees."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax
import numpy as np

from jaxgen.core.tracing import is_traced

_Tree = TypeVar("_Tree", bound="PytreeDataclass")


@dataclass_transform(frozen_default=True)
class PytreeDataclass:
    """Base class of frozen dataclasses whose annotated attributes are the children of a pytree.

    Two instances are equal if they are of the same class and all their leaves have equal dtypes and values. Arrays are
    compared as a whole, so `==` returns a bool. `==` and `hash` raise TypeError for traced leaves. Equal instances have
    equal hashes, so an instance can be a static argument of `jax.jit`, which then compiles once for each value.
    Instances can be copied with `copy.deepcopy` and pickled.

        class Pair(PytreeDataclass):
            first: jax.Array
            second: jax.Array
    """

    def __init_subclass__(cls, **options: bool) -> None:
        """Make the subclass a frozen dataclass and a pytree; options are those of `dataclass`, such as `kw_only`."""
        super().__init_subclass__()
        dataclasses.dataclass(frozen=True, eq=False, **options)(cls)
        names = tuple(field.name for field in dataclasses.fields(cls))

        def flatten(tree: Any) -> tuple[list[Any], type]:
            return [getattr(tree, name) for name in names], cls

        def flatten_with_keys(tree: Any) -> tuple[list[tuple[Any, Any]], type]:
            return [(jax.tree_util.GetAttrKey(name), getattr(tree, name)) for name in names], cls

        def unflatten(cls: type, values: Any) -> Any:
            tree = object.__new__(cls)
            tree.__dict__.update(zip(names, values, strict=True))
            return tree

        # The class is the auxiliary data, so that two classes with the same attributes have different structures.
        # register_dataclass gives them equal structures, and jit could then run the code compiled for the other class.
        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)

    def replace(self: _Tree, **changes: Any) -> _Tree:
        """Copy the instance with some attributes changed.

        Args:
            **changes: the new values by attribute.

        Returns:
            The copy.
        """
        return dataclasses.replace(self, **changes)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        (leaves, structure), (others, other_structure) = jax.tree.flatten(self), jax.tree.flatten(other)
        if structure != other_structure:
            return False
        pairs = zip(map(_concrete, leaves), map(_concrete, others), strict=True)
        return all(one.dtype == two.dtype and np.array_equal(one, two) for one, two in pairs)

    def __hash__(self) -> int:
        leaves, structure = jax.tree.flatten(self)
        arrays = [_concrete(leaf) for leaf in leaves]
        return hash((structure, *((array.shape, *array.ravel().tolist()) for array in arrays)))


def _concrete(leaf: Any) -> np.ndarray:
    """Return the leaf's value; raise TypeError for a traced one."""
    if is_traced(leaf):
        raise TypeError(
            "an instance that holds traced arrays has no value to compare or hash: use == outside of jit, grad and "
            "vmap, or compare its leaves with jax.numpy"
        )
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)

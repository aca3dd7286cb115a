"""PytreeDataclass dataclasses that are pytrees."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

_Tree = TypeVar("_Tree", bound="PytreeDataclass")


@dataclass_transform(frozen_default=True)
class PytreeDataclass:
    """A class whose subclasses are frozen dataclasses; their annotated attributes are the children of a pytree."""

    def __init_subclass__(cls, **options: bool) -> None:
        """Make the class a frozen dataclass, with such options as `kw_only`, and a pytree."""
        super().__init_subclass__()
        dataclasses.dataclass(frozen=True, **options)(cls)
        names = tuple(field.name for field in dataclasses.fields(cls))

        def flatten(tree: Any) -> tuple[list[Any], type]:
            return [getattr(tree, name) for name in names], cls

        def flatten_with_keys(tree: Any) -> tuple[list[tuple[Any, Any]], type]:
            return [(jax.tree_util.GetAttrKey(name), getattr(tree, name)) for name in names], cls

        def unflatten(cls: type, values: Any) -> Any:
            tree = object.__new__(cls)
            tree.__dict__.update(zip(names, values, strict=True))
            return tree

        # The class is part of the structure: those of jax.tree_util.register_dataclass, hence of flax.struct, are equal
        # for classes of the same attributes, so that a jitted function now and then took one for another.
        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)

    def replace(self: _Tree, **changes: Any) -> _Tree:
        """The same with some attributes changed."""
        return dataclasses.replace(self, **changes)

"""Frozen trees: their children, their immutability, and a structure that no other class shares."""

import copy
import dataclasses
import itertools
import pickle
from typing import Generic, TypeVar

import jax
import jax.numpy as jnp
import pytest
from oracles import PROCESSES

from jaxgen.core import PytreeDataclass
from jaxgen.diffusion.objectives.importance import loss_history

T = TypeVar("T")


class Pair(PytreeDataclass):
    first: jax.Array
    second: jax.Array | None = None


def test_attributes_are_children_by_name():
    pair = Pair(first=jnp.ones(2), second=jnp.zeros(()))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(pair)]
    assert paths == [".first", ".second"]
    doubled = jax.tree.map(lambda x: 2 * x, pair)
    assert isinstance(doubled, Pair)
    assert doubled.first.sum() == 4
    assert jax.tree.leaves(Pair(first=3.0)) == [3.0]


def test_subclasses_have_the_attributes_of_both():
    class Triple(Pair, kw_only=True):
        third: float

    class Of(PytreeDataclass, Generic[T]):
        value: T

    triple = Triple(1.0, third=3.0)
    assert jax.tree.leaves(triple) == [1.0, 3.0]
    for copied in (copy.deepcopy(triple), pickle.loads(pickle.dumps(Pair(1.0, 2.0)))):
        assert jax.tree.leaves(copied)[0] == 1
    assert jax.tree.structure(Of[int](1)) == jax.tree.structure(Of(2))
    swept = jax.vmap(lambda pair: pair.replace(first=2 * pair.first))(Pair(jnp.arange(3)))
    assert swept.first.tolist() == [0, 2, 4]


def test_nothing_is_set_but_by_replace():
    pair = Pair(first=1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.first = 2.0
    assert (pair.replace(first=2.0), pair) == (Pair(2.0), Pair(1.0))
    with pytest.raises(TypeError, match="third"):
        pair.replace(third=0.0)


def test_classes_of_the_same_attributes_are_not_taken_for_each_other():
    """Structures differ, for jit finds what it compiled by the structure."""
    twins = [type(f"Twin{i}", (PytreeDataclass,), {"__annotations__": {"x": float}})(x=0.0) for i in range(20)]
    trees = {type(tree): tree for tree in [*PROCESSES.values(), *twins, loss_history(2)]}
    assert len(trees) > 25
    for one, other in itertools.combinations(trees.values(), 2):
        assert jax.tree.structure(one) != jax.tree.structure(other)
    told = jax.jit(lambda tree: twins.index(type(tree)(x=0.0)))
    assert [int(told(twin)) for twin in twins] == list(range(20))

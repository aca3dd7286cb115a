"""Frozen trees: their children, their immutability, and a structure that no other class shares."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import pytest
from oracles import PROCESSES

from jaxgen.diffusion.importance import loss_history
from jaxgen.frozen import Frozen
from jaxgen.training import TrainState


class Pair(Frozen):
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


def test_nothing_is_set_but_by_replace():
    pair = Pair(first=1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.first = 2.0
    assert (pair.replace(first=2.0), pair) == (Pair(2.0), Pair(1.0))
    with pytest.raises(TypeError, match="third"):
        pair.replace(third=0.0)


def test_classes_of_the_same_attributes_are_not_taken_for_each_other():
    """Structures differ, for jit finds what it compiled by the structure."""
    twins = [type(f"Twin{i}", (Frozen,), {"__annotations__": {"x": float}})(x=0.0) for i in range(20)]
    state = TrainState(step=0, params=0, opt_state=0, ema=0, key=0)
    trees = {type(tree): tree for tree in [*PROCESSES.values(), *twins, state, loss_history(2)]}
    assert len(trees) > 25
    for one, other in itertools.combinations(trees.values(), 2):
        assert jax.tree.structure(one) != jax.tree.structure(other)
    told = jax.jit(lambda tree: twins.index(type(tree)(x=0.0)))
    assert [int(told(twin)) for twin in twins] == list(range(20))

"""Pytree dataclasses: children, immutability, equality and hashing, and structures that no other class shares."""

import copy
import dataclasses
import itertools
import pickle
from functools import partial
from typing import Generic, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import PROCESSES

from jaxgen.core import PytreeDataclass
from jaxgen.diffusion import from_betas, importance, learned_schedule, vp

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

    assert jax.tree.leaves(Triple(1.0, third=3.0)) == [1.0, 3.0]
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
    trees = {type(tree): tree for tree in [*PROCESSES.values(), *twins, importance.loss_history(2)]}
    assert len(trees) > 25
    for one, other in itertools.combinations(trees.values(), 2):
        assert jax.tree.structure(one) != jax.tree.structure(other)
        assert one != other
    index = jax.jit(lambda tree: twins.index(type(tree)(x=0.0)))
    assert [int(index(twin)) for twin in twins] == list(range(20))


VALUES = [
    vp(),
    vp(beta_max=jnp.float32(10.0)),
    from_betas(np.array([0.1, 0.2])),
    from_betas(np.array([0.1, 0.3])),
    from_betas(np.array([0.1, 0.2, 0.3])),
    jax.jit(partial(learned_schedule, features=3))(jax.random.key(0)),
    Pair(np.arange(3)),
    Pair(np.arange(3), np.arange(3)),
    Pair(jax.random.key(0)),
    Pair(jax.random.key(1)),
    Pair({"a": "text"}, (None, len)),
    Pair(np.zeros((2, 0))),
]


def test_equality_and_hash_are_those_of_the_leaves():
    for (i, one), (j, other) in itertools.product(enumerate(VALUES), repeat=2):
        other = jax.tree.map(lambda leaf: leaf + 0 if isinstance(leaf, jax.Array) and leaf.size > 1 else leaf, other)
        assert (one == other) is (i == j)
        assert (one != other) is (i != j)
        assert i != j or hash(one) == hash(other)
    assert Pair(jnp.float32(1)) == Pair(jnp.ones(())) != Pair(jnp.ones((), jnp.bfloat16))
    assert Pair(1.0) == Pair(1.0) != Pair(1)
    assert len({Pair(1.0), Pair(1.0), Pair(1), Pair(-0.0), Pair(0.0)}) == 3
    assert vp() != "vp"
    for tree in VALUES:
        assert copy.deepcopy(tree) == copy.copy(tree) == tree
    for tree in VALUES[:8]:
        assert pickle.loads(pickle.dumps(tree)) == tree


def test_a_tree_is_a_static_argument_that_compiles_once_for_each_value():
    @chex.assert_max_traces(n=2)
    def alpha(process):
        return process.alpha(0.5)

    static = jax.jit(alpha, static_argnums=0)
    tables = [from_betas(np.array([0.1, 0.2])), from_betas(np.array([0.1, 0.2])), from_betas(np.array([0.3, 0.2]))]
    np.testing.assert_allclose([static(table) for table in tables], np.sqrt([0.9, 0.9, 0.7]), rtol=1e-6)
    double = jax.jit(lambda pair: pair.first + pair.first, static_argnums=0)
    assert [double(Pair(jnp.ones((), dtype))).dtype for dtype in (jnp.bfloat16, jnp.float32)] == [
        jnp.bfloat16,
        jnp.float32,
    ]


def test_traced_trees_refuse_to_be_compared():
    for compare in (lambda tree: tree == Pair(1.0), hash):
        with pytest.raises(TypeError, match="outside of jit, grad and vmap"):
            jax.jit(lambda x, compare=compare: compare(Pair(x)))(1.0)

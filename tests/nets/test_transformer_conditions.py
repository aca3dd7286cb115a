"""Texts and the scale of time as conditions of a diffusion transformer; labels are in the networks' contract."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.diffusion import guidance
from jaxgen.nets import DiT, SetDiT
from jaxgen.nets.transformer_conditions import LabelEmbedding

LETTERS, LENGTH, BATCH = 5, 3, 4
WAYS = {
    "both": {},
    "cross": {"sequence_vector": False},
    "vector": {"cross_attention": False},
}
X = np.random.default_rng(1).standard_normal((BATCH, 6, 3)).astype(np.float32)
T = np.linspace(0, 1, BATCH, dtype=np.float32)
TEXTS = np.array([[0, 1, 2], [4, 4, 0], [3, 2, 1], [1, 0, 3]])
make = functools.partial(SetDiT, 16, 2, 2, num_tokens=LETTERS, sequence_length=LENGTH)


def first_by_day(names, cases):
    return lambda test: pytest.mark.first_by_day(pytest.mark.parametrize(names, list(cases))(test))


@functools.cache
def compiled(net):
    return jax.jit(net.apply)


def change(first, second):
    return np.abs(first - second).max(axis=tuple(range(1, np.ndim(first))))


@first_by_day("way", WAYS)
def test_texts_are_read_and_null_is_null_however_it_is_said(way, random_params):
    net = make(**WAYS[way])
    params = random_params(net, X, T, TEXTS)
    apply = functools.partial(compiled(net), params, X, T)
    asked, null = apply(TEXTS), apply(np.full_like(TEXTS, -1))
    np.testing.assert_allclose(apply(np.full_like(TEXTS, LETTERS)), null, atol=1e-5)
    if way != "both":
        np.testing.assert_allclose(jax.jit(net.apply)(params, X, T), null, atol=1e-5)
    assert change(asked, null).min() > 1e-3
    for j in range(LENGTH):  # each character matters in its row
        other = TEXTS.copy()
        other[2, j] = (other[2, j] + 1) % LETTERS
        np.testing.assert_array_equal(change(apply(other), asked) > 1e-4, [False, False, True, False])
    other = TEXTS.copy()
    other[1, 0] = LETTERS + 1
    np.testing.assert_array_equal(np.isnan(apply(other)).any((1, 2)), [False, True, False, False])


@first_by_day("way", WAYS)
def test_every_parameter_of_the_text_matters(way, random_params, check_parameters_matter):
    net = make(**WAYS[way])
    params = random_params(net, X, T, TEXTS)
    check_parameters_matter(lambda params: compiled(net)(params, X, T, TEXTS), params)
    names = set(params["params"]["blocks"])
    assert ("cross_attention" in names) == (way != "vector")


def test_dropped_conditions_are_the_null_in_their_rows(random_params):
    """As classifier-free guidance drops them, for texts and for labels."""
    key, labels = jax.random.key(3), np.array([0, 1, 2, 1])
    for net, cond in ((make(), TEXTS), (SetDiT(16, 1, 2, num_classes=3), labels)):
        apply = functools.partial(compiled(net), random_params(net, X, T, cond), X, T)
        dropped = guidance.drop_condition(key, jnp.asarray(cond), -1, 0.5)
        gone = (np.asarray(dropped) == -1).reshape(BATCH, -1).all(1)
        assert 0 < gone.sum() < BATCH
        asked, null, mixed = apply(cond), apply(np.full_like(cond, -1)), apply(dropped)
        np.testing.assert_allclose(mixed, np.where(gone[:, None, None], null, asked), atol=1e-5)


def test_labels_are_rows_of_a_table():
    net, table = LabelEmbedding(7, 3), np.random.default_rng(0).random((4, 7), np.float32)
    embed = functools.partial(net.apply, {"params": {"classes": table}})
    got = np.asarray(embed(np.array([0, 2, 3, -1, 4], np.int8), 5))
    np.testing.assert_array_equal(got[:4], table[[0, 2, 3, 3]])
    assert np.isnan(got[4]).all()
    np.testing.assert_array_equal(embed(None, 2), table[[3, 3]])


@pytest.mark.slow
def test_the_scale_of_time_is_that_of_its_sines(random_params):
    """Times of one network, divided by the ratio of both scales, are those of another."""
    nets = [SetDiT(16, 1, 2, time_scale=scale) for scale in (1000.0, 1.0)]
    params = random_params(nets[0], X, T)
    small = np.float32([0, 1, 2, 3]) / 1000
    first, second = compiled(nets[0])(params, X, small), compiled(nets[1])(params, X, np.float32([0, 1, 2, 3]))
    np.testing.assert_allclose(first, second, atol=1e-3)
    assert change(compiled(nets[1])(params, X, small), first)[1:].min() > 1e-2


@pytest.mark.slow
def test_texts_work_in_bfloat16_with_blocks_computed_anew(random_params):
    full, half = make(), make(dtype=jnp.bfloat16, remat=True)
    params = random_params(full, X, T, TEXTS)
    expected = compiled(full)(params, X, T, TEXTS)
    error = np.linalg.norm(compiled(half)(params, X, T, TEXTS) - expected) / np.linalg.norm(expected)
    assert 2**-14 < error < 2**-4
    square = lambda params: jnp.square(half.apply(params, X, T, TEXTS)).sum()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.jit(jax.grad(square))(params)))


def test_refusals():
    for cond, message in [(TEXTS[:, :2], r"shape \(4, 3\), got \(4, 2\)"), (TEXTS.astype(float), "integer tokens")]:
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(make().init, jax.random.key(0), X, T, cond)
    with pytest.raises(ValueError, match=r"a vector per example, shape \(4, 2\)"):
        jax.eval_shape(DiT(16, 1, 2, cond_dim=2).init, jax.random.key(0), np.zeros((4, 4, 4, 3)), T, TEXTS)

"""Moving-average codebooks as online k-means, against numpy and scikit-learn; dead codes; many devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly, slow
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from jaxgen.vae import codebook, nearest_code

KEY = jax.random.key(0)
Z = jnp.asarray(np.random.default_rng(0).normal(size=(40, 3, 2)), jnp.float32)
BOOK = codebook.create(jnp.array([[1.0, 0], [-1, 0.5], [0, -1], [50, 50]]))  # the last is never chosen


def step(book, z, **options):
    return codebook.update(book, z, nearest_code(z, book.codes), **options)


def by_hand(codes, batches, decay, epsilon):
    """N_k, m_k and e_k in a loop over encodings, in float64."""
    codes, counts = np.float64(codes), np.ones(len(codes))
    sums = codes.copy()
    for z in batches:
        flat = np.float64(z).reshape(-1, codes.shape[1])
        indices = ((flat[:, None] - codes) ** 2).sum(-1).argmin(-1)
        for k in range(len(codes)):
            counts[k] = decay * counts[k] + (1 - decay) * np.sum(indices == k)
            sums[k] = decay * sums[k] + (1 - decay) * flat[indices == k].sum(0)
        smoothed = (counts + epsilon) / (counts.sum() + len(codes) * epsilon) * counts.sum()
        codes = sums / smoothed[:, None]
    return codes, counts, sums


@pytest.mark.parametrize(("decay", "epsilon"), [slow(0.99, 1e-5), (0.8, 0.5), slow(0.9, 0.0)])
def test_updates_are_online_k_means(decay, epsilon):
    batches = jax.random.normal(jax.random.key(1), (4, 30, 2, 2))
    book = BOOK
    for z in batches:
        book = step(book, z, decay=decay, epsilon=epsilon)
    for found, expected in zip(book, by_hand(BOOK.codes, batches, decay, epsilon), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # smoothing moves counts between codes and makes none
    np.testing.assert_allclose((book.sums[:, 0] / book.codes[:, 0]).sum(), book.counts.sum(), rtol=1e-4)


def test_without_memory_one_update_is_one_iteration_of_lloyds_k_means():
    x, _ = make_blobs(300, centers=4, random_state=0)
    start = x[:4]
    lloyd = KMeans(4, init=start, n_init=1, max_iter=1, algorithm="lloyd").fit(x)
    book = step(codebook.create(jnp.asarray(start, jnp.float32)), jnp.asarray(x, jnp.float32), decay=0.0, epsilon=0.0)
    np.testing.assert_allclose(book.codes, lloyd.cluster_centers_, rtol=1e-4)


def test_a_code_that_is_never_chosen_stays_until_smoothing_pulls_it_to_0():
    book = BOOK
    for _ in range(20):
        book = step(book, Z)
    np.testing.assert_allclose(book.codes[3], BOOK.codes[3], rtol=1e-3)
    np.testing.assert_allclose(book.counts[3], 0.99**20, rtol=1e-5)
    assert np.all(np.isfinite(step(book._replace(counts=book.counts.at[3].set(0.0)), Z).codes))


def test_nothing_is_differentiated():
    gradient = jax.grad(lambda z: step(BOOK, z).codes.sum())(Z)
    np.testing.assert_array_equal(gradient, np.zeros_like(Z))


def test_dead_codes_are_put_on_encodings_and_others_left():
    book = BOOK._replace(counts=jnp.array([10.0, 12.0, 0.5, 0.0]), sums=BOOK.codes * 3)
    new = codebook.reset_dead(KEY, book, Z)
    np.testing.assert_array_equal(new.codes[:2], book.codes[:2])
    np.testing.assert_array_equal(new.sums[:2], book.sums[:2])
    np.testing.assert_array_equal(new.counts[:2], book.counts[:2])
    flat = np.asarray(Z).reshape(-1, 2)
    for k in (2, 3):
        assert np.any(np.all(flat == np.asarray(new.codes[k]), -1))
        np.testing.assert_allclose(new.counts[k], 22.5 / 4, rtol=1e-6)
        np.testing.assert_allclose(new.sums[k], new.codes[k] * new.counts[k], rtol=1e-6)
    assert not np.array_equal(new.codes[2], new.codes[3])
    kept = codebook.reset_dead(KEY, book, Z, threshold=0.05)  # .05 of the mean 5.6 is .28
    np.testing.assert_array_equal(kept.codes[2], book.codes[2])
    assert not np.array_equal(kept.codes[3], book.codes[3])
    unharmed = codebook.reset_dead(KEY, book, Z, threshold=0.0)
    np.testing.assert_array_equal(unharmed.codes, book.codes)
    for bad in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"fraction of the mean count, in \[0, 1\)"):
            codebook.reset_dead(KEY, BOOK, Z, threshold=bad)


def test_a_reset_code_has_as_long_as_any_other():
    """At decay .99 and threshold .1, about log(.1)/log(.99) = 229 batches in which nothing chooses it."""
    book = BOOK._replace(counts=jnp.array([40.0, 40.0, 40.0, 0.0]))  # of 120 encodings a batch
    book = codebook.reset_dead(KEY, book, jnp.full((5, 2), 99.0))
    update = jax.jit(lambda book: step(book, Z))
    waited = 0
    while book.counts[3] >= 0.1 * book.counts.mean():
        book, waited = update(book), waited + 1
    assert abs(waited - 229) < 5


def test_a_codebook_from_encodings_has_distinct_ones_where_it_can():
    flat = np.asarray(Z).reshape(-1, 2)
    book = codebook.from_encodings(KEY, Z, 50)
    assert len(np.unique(book.codes, axis=0)) == 50
    assert all(np.any(np.all(flat == code, -1)) for code in np.asarray(book.codes))
    assert codebook.from_encodings(KEY, Z[:1], 50).codes.shape == (50, 2)


@nightly("wrap", ["pmap", "shard_map"])
def test_many_devices_keep_the_codebook_of_the_whole_batch(wrap):
    """Sums over devices: the update of the parts is that of the whole, and a reset is alike everywhere."""
    n = jax.device_count()
    assert n == 8
    book = BOOK._replace(counts=jnp.array([10.0, 12.0, 0.5, 0.0]))
    indices = nearest_code(Z, book.codes)

    def both(book, z, indices):
        updated = codebook.update(book, z, indices, axis_name="data")
        return updated, codebook.reset_dead(KEY, updated, z, axis_name="data")

    if wrap == "pmap":
        parts = Z.reshape(n, -1, *Z.shape[1:]), indices.reshape(n, -1, *indices.shape[1:])
        found = jax.pmap(both, axis_name="data", in_axes=(None, 0, 0))(book, *parts)
        for leaf in jax.tree.leaves(found):
            np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))
        updated, reset = jax.tree.map(lambda leaf: leaf[0], found)
    else:
        mesh = jax.make_mesh((n,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
        data, whole = jax.sharding.PartitionSpec("data"), jax.sharding.PartitionSpec()
        mapped = partial(jax.shard_map, mesh=mesh, in_specs=(whole, data, data), out_specs=whole, check_vma=False)
        updated, reset = jax.jit(mapped(both))(book, Z, indices)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), updated, codebook.update(book, Z, indices)
    )
    flat = np.asarray(Z).reshape(-1, 2)
    assert np.any(np.all(flat == np.asarray(reset.codes[3]), -1))
    np.testing.assert_array_equal(reset.codes[:3], updated.codes[:3])
    # codes are drawn from every device
    dead = codebook.create(jnp.zeros((64, 1)))._replace(counts=jnp.zeros(64).at[0].set(1.0))
    draw = lambda z: codebook.reset_dead(KEY, dead, z, axis_name="data").codes
    mesh = jax.make_mesh((n,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    data, whole = jax.sharding.PartitionSpec("data"), jax.sharding.PartitionSpec()
    drawn = jax.shard_map(draw, mesh=mesh, in_specs=data, out_specs=whole, check_vma=False)
    assert set(np.asarray(jax.jit(drawn)(jnp.arange(n, dtype=jnp.float32)[:, None])[1:, 0])) == set(range(n))


def test_counts_and_perplexity():
    indices = jnp.array([[0, 2, 2], [5, 2, 0]])
    counts = codebook.count(indices, 7)
    np.testing.assert_array_equal(counts, [2, 0, 3, 0, 0, 1, 0])
    np.testing.assert_allclose(codebook.perplexity(counts), np.exp(entropy([2, 3, 1])), rtol=1e-6)
    np.testing.assert_allclose(codebook.perplexity(jnp.ones(9)), 9, rtol=1e-6)
    np.testing.assert_allclose(codebook.perplexity(jnp.zeros(9).at[4].set(3.0)), 1, rtol=1e-6)


@pytest.mark.slow
def test_dtypes():
    assert codebook.create(jnp.zeros((3, 2), jnp.bfloat16)).codes.dtype == jnp.float32
    half = step(BOOK, Z.astype(jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype("float32")}
    with jax.enable_x64(True):
        book = codebook.create(jnp.asarray(np.float64(BOOK.codes)))
        double = step(book, jnp.asarray(np.float64(Z)))
        assert {leaf.dtype for leaf in jax.tree.leaves(double)} == {jnp.dtype("float64")}

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec
from oracles import slow

from jaxgen.training import data_mesh
from jaxgen.training.checksum import _on_device, _on_host, _program, checksums

TYPES = ["float32", "bfloat16", "float16", "float8_e4m3fn", "int8", "uint8", "int32", "uint16", "int4", "bool"]


def one(x):
    (digits,) = checksums([x])
    return digits


def on_device(x):
    return np.asarray(_on_device(x)).tolist()


def words_of(x):
    return np.asarray(x).view(np.uint32)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70_000), st.integers(0, 31), st.data())
def test_every_single_bit_counts(size, bit, data):
    x = np.random.default_rng(size).normal(size=size).astype(np.float32)
    at = data.draw(st.integers(0, size - 1))
    changed = x.copy()
    words_of(changed)[at] ^= np.uint32(1 << bit)
    assert one(changed) != one(x)
    assert one(x.copy()) == one(x)


def test_places_count():
    x = np.float32([1, 2, 4, 8, 0, 0, 1, 2])
    rng = np.random.default_rng(0)
    orders = {tuple(x[rng.permutation(8)]) for _ in range(500)}
    digits = [one(np.float32(order)) for order in orders]
    assert len({d[:8] for d in digits}) == len({d[8:] for d in digits}) == len(orders)
    # zeros too, and blocks a power of two apart, which simple weights confuse
    assert one(np.zeros(8, np.float32)) != one(np.zeros(9, np.float32))
    large = np.ones(2**17, np.float32)
    large[:1024] = 2
    moved = np.roll(large, 2**16)
    assert one(large) != one(moved)


def test_both_halves_are_spread_evenly():
    digits = [one(np.float32([x, 1])) for x in range(2000)]
    assert len({d[:8] for d in digits}) == len({d[8:] for d in digits}) == 2000
    bits = np.array([[int(b) for b in f"{int(d, 16):064b}"] for d in digits])
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / np.sqrt(2000)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("shape", [(8, 5, 3), *map(slow, ((), (0,), (7,)))])
def test_host_and_device_agree(name, shape):
    x = jnp.asarray(jax.random.randint(jax.random.key(0), shape, 0, 7)).astype(name)
    assert on_device(x) == _on_host(x).tolist()
    if x.size:
        other = jnp.logical_not(x) if name == "bool" else (x + 1).astype(name)
        assert one(other) != one(x)


def test_more_than_one_chunk():
    x = jax.random.normal(jax.random.key(0), (300, 501))
    assert on_device(x) == _on_host(x).tolist()


def test_other_types():
    half = jax.random.normal(jax.random.key(0), (9, 2))
    z = jax.lax.complex(half, -half)
    assert on_device(z) == _on_host(z).tolist()
    for impl in ("threefry2x32", "rbg"):
        keys = jax.random.split(jax.random.key(1, impl=impl), 8)
        assert on_device(keys) == _on_host(keys).tolist()
        assert one(keys) != one(keys[::-1])
    assert one(jnp.float32(0.0)) != one(jnp.float32(-0.0))
    payloads = np.uint32([0x7FC00000, 0x7FC00001]).view(np.float32)
    assert one(payloads[:1]) != one(payloads[1:])


def test_64_bits():
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert one(x) is None  # jax would round it
    with jax.enable_x64(True):
        for y in (x, (1e18 * x).astype(np.int64), x + 1j):
            array = jnp.asarray(y)
            assert array.dtype == y.dtype
            assert on_device(array) == _on_host(array).tolist()
            assert one(array) == one(y)
        low = x.copy()
        low.view(np.uint64)[4, 2] ^= np.uint64(1)
        high = x.copy()
        high.view(np.uint64)[0, 0] ^= np.uint64(1 << 63)
        assert len({one(x), one(low), one(high)}) == 3


@pytest.mark.parametrize("shape", [(8, 24), slow((16,)), slow((5, 16, 3))])
def test_any_sharding_gives_the_same(shape):
    mesh = data_mesh()
    x = jax.random.normal(jax.random.key(3), shape)
    for axis, length in enumerate(shape):
        if length % 8 == 0:
            spec = PartitionSpec(*[None] * axis, "data")
            assert one(jax.device_put(x, NamedSharding(mesh, spec))) == one(x)
    assert one(jax.device_put(x, NamedSharding(mesh, PartitionSpec()))) == one(x)


def test_a_sharded_array_is_not_gathered():
    mesh = data_mesh()
    x = jax.device_put(jnp.zeros((24, 64)), NamedSharding(mesh, PartitionSpec(None, "data")))
    text = _program(NamedSharding(mesh, PartitionSpec())).lower(x).compile().as_text()
    assert "all-gather" not in text
    assert "all-to-all" not in text
    assert "all-reduce" in text

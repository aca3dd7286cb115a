"""Checksums of arrays in integers, computed on their devices; they do not depend on the sharding."""

import functools
from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding
from jaxtyping import Array, UInt32

Words = UInt32[Array, "..."] | UInt32[np.ndarray, "..."]

# Bytes below which fetching an array is faster than compiling a program for its shape.
_SMALL = 2**16
_CHUNK = 2**16


def checksums(arrays: Iterable[jax.Array | np.ndarray]) -> list[str | None]:
    """Return sixteen hexadecimal digits for each array, computed from the bits and places of its elements.

    A change within one 32-bit word always changes the digits; any other change does with probability 1 − 2⁻⁶⁴. Arrays
    may have any type, typed keys included. None stands for a type that jax would convert, such as float64 without
    jax_enable_x64.
    """
    sums = [_on_host(x) if _is_on_host(x) else _on_device(x) for x in arrays]
    return [None if pair is None else "{:08x}{:08x}".format(*map(int, pair)) for pair in jax.device_get(sums)]


def _is_on_host(x: jax.Array | np.ndarray) -> bool:
    if not isinstance(x, jax.Array):
        return True
    return x.is_fully_replicated and (x.nbytes <= _SMALL or all(d.platform == "cpu" for d in x.devices()))


def _on_host(x: jax.Array | np.ndarray) -> UInt32[np.ndarray, "2"] | None:
    if not isinstance(x, jax.Array) and jax.dtypes.canonicalize_dtype(x.dtype) != x.dtype:
        return None
    words = np.ascontiguousarray(np.asarray(_data(x))).reshape(-1)
    words = words.view(f"uint{min(8 * words.itemsize, 32)}")
    return sum((_sums(*part) for part in _chunks(words)), np.zeros(2, np.uint32))


def _chunks(words: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(words), _CHUNK):
        part = words[start : start + _CHUNK].astype(np.uint32)
        yield part, np.arange(start, start + len(part)).astype(np.uint32)


def _on_device(x: jax.Array) -> UInt32[Array, "2"]:
    # replicated, so that every process can read the sums of an array that it holds a part of
    named = isinstance(x.sharding, NamedSharding)
    return _program(NamedSharding(x.sharding.mesh, PartitionSpec()) if named else None)(x)


@functools.cache
def _program(out: Sharding | None) -> jax.stages.Wrapped:
    return jax.jit(_sums_of_sharded, out_shardings=out)


def _sums_of_sharded(x: Array) -> UInt32[Array, "2"]:
    x = _data(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        x = jnp.stack([x.real, x.imag], axis=-1)
    if x.dtype == jnp.bool_:
        x = x.astype(jnp.uint8)
    # 64 bits become two words along a new last axis
    words = jax.lax.bitcast_convert_type(x, f"uint{min(8 * x.dtype.itemsize, 32)}").astype(jnp.uint32)
    place = jnp.zeros(words.shape, jnp.uint32)
    for axis, length in enumerate(words.shape):  # not a reshape, which could gather the array
        place = place * np.uint32(length) + jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
    return _sums(words, place)


def _data(x: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """Replace typed keys by their data, and types of less than eight bits by wider ones."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(x)
    for kind, info, wider in ((jnp.integer, jnp.iinfo, np.int8), (jnp.floating, jnp.finfo, np.float32)):
        if jnp.issubdtype(x.dtype, kind) and info(x.dtype).bits < 8:
            return x.astype(wider)
    return x


def _sums(words: Words, place: Words) -> Words:
    # one to one in the word at each place, which guarantees that a change of one word is noticed
    first = _mix(words + place * np.uint32(0x9E3779B9))
    second = _mix(words * np.uint32(0x85EBCA6B) + place * np.uint32(0xC2B2AE35) + np.uint32(0x27D4EB2F))
    stack = np.stack if isinstance(words, np.ndarray) else jnp.stack
    return stack([first.sum(dtype=np.uint32), second.sum(dtype=np.uint32)])


def _mix(h: Words) -> Words:
    """The 32-bit finaliser "lowbias32" of C. Wellons, which is one to one."""
    h = (h ^ (h >> 16)) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> 15)) * np.uint32(0x846CA68B)
    return h ^ (h >> 16)

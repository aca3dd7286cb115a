"""generate(): any number of samples in batches of the device's size, kept on disk as they come."""

import logging
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from jaxgen.core import all_processes, check_batch_sharding, progress_bar
from jaxgen.generation.batch_files import BatchFiles

_logger = logging.getLogger(__name__)


def generate(
    draw: Callable[[PyTree, Array, PyTree], PyTree],
    params: PyTree,
    key: Array,
    n: int,
    *,
    batch_size: int,
    cond: PyTree = None,
    sharding: NamedSharding | None = None,
    directory: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> PyTree:
    """Images 0 … n − 1 as NumPy arrays (n, *event), image i from the key `fold_in(key, i)` whatever the batch size.

    draw(params, keys (B,), cond) -> an array (B, *event) or a pytree of them: a pure function in which a sample depends
    on its own key and row of cond alone, as `sample` does. It is compiled once per batch size: give the network's
    parameters as `params`, not in a closure, and the same function at every call. n: 1 … 2³². cond: None, or a pytree
    of arrays with leading axis n. sharding: splits the leading axis of each batch over a mesh of this process's
    devices; params that lie elsewhere are copied to each. The host holds all n images, the devices two batches.

    Image i is always row i mod B of its batch: the same bit by bit at one batch size and sharding, whatever n and
    however often the work was stopped (GPUs: as far as two processes compile alike), else up to round-off.

    directory: each batch is written there in the background and named by an atomic rename. A later call with the same
    key, params and cond draws only what is missing, also at another batch size or for a larger n; `draw` itself is not
    compared. Damaged files are drawn again, with a warning.

    Under `jax.distributed` the directory must be given, on a disk that all processes share. Process p of P draws every
    P-th batch on its own devices, from params of its own (no global arrays); they wait for each other at the end, and
    each returns the whole.

    Raises ValueError for n or batch_size below 1, a key that is not one typed threefry key, a cond of another length, a
    batch that does not divide between the shards, a draw with another leading axis, and a directory of other samples.
    """
    _check(key, n, batch_size, sharding, directory)
    cond = jax.tree_util.tree_map_with_path(lambda path, leaf: _rows(path, leaf, n), cond)
    replicated = None if sharding is None else NamedSharding(sharding.mesh, PartitionSpec())
    key, params = jax.tree.map(lambda leaf: _at_home(leaf, replicated), (key, params))
    images = jax.tree.map(
        lambda leaf: np.empty((n, *leaf.shape), leaf.dtype), _event(draw, params, key, cond, batch_size)
    )
    files = None if directory is None else BatchFiles(directory, images, key=key, params=params, cond=cond)
    have = np.zeros(n, bool)
    there = _resume(files, have)

    run = jax.jit(draw)

    def dispatch(start: int) -> PyTree:
        # The last batch is filled up with the keys of images to come, and the last row of cond.
        rows = np.arange(start, start + batch_size)
        keys = jax.device_put(_fold_in(key, rows.astype(np.uint32)), sharding)
        filled = jax.tree.map(lambda leaf: jax.device_put(leaf[np.minimum(rows, n - 1)], sharding), cond)
        batch = run(params, keys, filled)
        jax.tree.map(lambda leaf: leaf.copy_to_host_async(), batch)
        return batch

    def fetch(start: int, batch: PyTree) -> None:
        for lo, hi in _gaps(there, start, start + batch_size):
            for into, leaf in zip(jax.tree.leaves(images), jax.tree.leaves(batch), strict=True):
                into[lo:hi] = np.asarray(leaf)[lo - start : hi - start]
            have[lo:hi] = True
            if files is not None:
                writes.append(disk.submit(files.write, lo, hi))

    starts = [start for start in range(0, n, batch_size) if not there[start : start + batch_size].all()]
    starts = starts[jax.process_index() :: jax.process_count()]
    done = int(there.sum())
    total = done + sum(int((~there[start : start + batch_size]).sum()) for start in starts)
    in_flight: deque[tuple[int, PyTree]] = deque()
    writes: deque[Future[None]] = deque()
    with (
        ThreadPoolExecutor(1) as disk,
        progress_bar(
            done, total, label="sampling", unit="images", visible=progress and jax.process_index() == 0
        ) as show,
    ):
        # One batch is on its way while the one before is fetched, so that the device never waits for the host.
        for start in [*starts, None]:
            if start is not None:
                in_flight.append((start, dispatch(start)))
            if len(in_flight) == 2 or (start is None and in_flight):
                fetch(*in_flight.popleft())
                show(int((have | there).sum()), "")
            while writes and (start is None or writes[0].done()):
                writes.popleft().result()  # raises what the write did
    _join(files, have)
    return images


@jax.jit
def _fold_in(key: Array, rows: ArrayLike) -> Array:
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, rows)


def _resume(files: BatchFiles | None, have: np.ndarray) -> np.ndarray:
    """Which images are on disk (n,), in the eyes of the first process, who reads them: all must share out one list."""
    if files is None:
        return have.copy()
    failure = None
    try:
        files.check()
        if jax.process_index() == 0:
            files.begin()
            files.read(have)
    except Exception as error:  # raised once all know, for the others would wait for this process
        failure = error
    _agree(failure, "another process could not use the directory")
    there = have.copy()
    if jax.process_count() > 1:
        there = np.asarray(multihost_utils.broadcast_one_to_all(have.astype(np.uint8)), bool)
        unseen = f"{files.manifest} is not seen by every process: take a directory on a disk that all share"
        _agree(None if files.manifest.exists() else ValueError(unseen), unseen)
    if there.any():
        _logger.info("%d of %d images are there already, beside %s", there.sum(), len(there), files.manifest)
    return there


def _agree(failure: Exception | None, elsewhere: str) -> None:
    """Raise where any process failed."""
    if not all_processes(failure is None):
        raise failure or ValueError(elsewhere)


def _join(files: BatchFiles | None, have: np.ndarray) -> None:
    """Wait for the other processes, and read what they have drawn."""
    if jax.process_count() == 1:
        return
    multihost_utils.sync_global_devices("jaxgen.generation.generate")
    files.read(have)
    if not have.all():
        raise RuntimeError(f"image {int(have.argmin())} of another process is not to be found beside {files.manifest}")


def _gaps(there: np.ndarray, start: int, stop: int) -> list[tuple[int, int]]:
    """The runs lo … hi − 1 of images within start … stop − 1 that are not there."""
    missing = ~there[start:stop]
    edges = start + np.flatnonzero(np.diff(missing, prepend=False, append=False))
    return [(int(lo), int(hi)) for lo, hi in edges.reshape(-1, 2)]


def _rows(path: tuple, leaf: PyTree, n: int) -> np.ndarray:
    leaf = np.asarray(leaf)
    if leaf.shape[:1] != (n,):
        where = "cond" + jax.tree_util.keystr(path)
        raise ValueError(f"{where} must have one row for each of n={n} images, got an array of shape {leaf.shape}")
    return leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype), copy=False)  # as JAX will have them


def _at_home(leaf: PyTree, replicated: NamedSharding | None) -> Array:
    """On the devices of the mesh, once and for all batches: what is split over them already stays as it is."""
    if isinstance(leaf, Array) and not leaf.is_fully_addressable:
        raise ValueError("params must lie on this process's own devices: give its own copy of what is a global array")
    on_mesh = isinstance(leaf, Array) and replicated is not None and leaf.sharding.device_set == replicated.device_set
    return leaf if on_mesh else jax.device_put(leaf, replicated)


def _event(draw: Callable, params: PyTree, key: Array, cond: PyTree, batch_size: int) -> PyTree:
    """The shape and dtype of one image."""
    keys = jax.ShapeDtypeStruct((batch_size,), key.dtype)
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((batch_size, *leaf.shape[1:]), leaf.dtype), cond)
    drawn = jax.eval_shape(draw, params, keys, batch)
    for path, leaf in jax.tree_util.tree_leaves_with_path(drawn):
        if leaf.shape[:1] != (batch_size,):
            where = "the array" + jax.tree_util.keystr(path)
            raise ValueError(
                f"draw must return arrays of one row per key, ({batch_size}, …); {where} has shape {leaf.shape}"
            )
    if not jax.tree.leaves(drawn):
        raise ValueError(f"draw must return an array or a pytree of arrays, got {drawn}")
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), drawn)


def _check(
    key: Array, n: int, batch_size: int, sharding: NamedSharding | None, directory: str | os.PathLike[str] | None
) -> None:
    if not (isinstance(key, Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0):
        raise ValueError("key must be one typed key, jax.random.key(seed): image i is drawn by fold_in(key, i)")
    if str(jax.random.key_impl(key)) != "threefry2x32":
        # a vmap over other keys draws from the first of them, so an image would depend on its batch
        raise ValueError(f"key must be a threefry key, jax.random.key(seed); got {jax.random.key_impl(key)}")
    if not 1 <= n <= 2**32:
        raise ValueError(f"n must be at least 1 image and at most 2**32, got {n}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1 image, got {batch_size}")
    if jax.process_count() > 1 and directory is None:
        raise ValueError(f"{jax.process_count()} processes meet in a directory: give one, on a disk that all share")
    if sharding is None:
        return
    if not sharding.is_fully_addressable:
        raise ValueError("sharding must be over this process's own devices, a mesh of jax.local_devices()")
    check_batch_sharding(sharding, batch_size)

"""`generate`: any number of samples in batches, kept on disk as they come."""

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

from jaxgen.core import all_processes, check_batch_sharding, progress_bar, threefry_key
from jaxgen.generation._fingerprint import fingerprint
from jaxgen.generation._store import SampleStore

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
    on_batch: Callable[[int], None] | None = None,
    progress: bool = True,
) -> PyTree:
    """Draw images 0 … n − 1, image i from the key `fold_in(key, i)` whatever the batch size.

    Image i is always row i mod B of its batch. At one batch size and sharding it is the same bit for bit, for any n and
    after any number of stops. At another batch size it is the same up to round-off. On GPUs, two processes may compile
    differently; then it is the same up to round-off too. The host holds all n images, and the devices hold two batches.

    Under `jax.distributed`, process p of P draws every P-th batch on its own devices, from its own params (no global
    arrays). The processes meet in `directory`, wait for each other at the end, and each returns all images.

    Args:
        draw: maps (params, keys (B,), cond) to an array (B, *event) or a pytree of them. It must be a pure function in
            which a sample depends on its own key and row of cond alone, as in `samplers.sample`. It is compiled once
            per batch size: pass the network's parameters as `params`, and the same function each time.
        params: parameters of draw, any pytree.
        key: one typed key. If it is not threefry (rbg, unsafe_rbg) a threefry key derived from it takes its place,
            because keys of other kinds do not draw independently of their batch.
        n: number of images, 1 … 2³².
        batch_size: images B ≥ 1 of one call of draw.
        cond: None, or a pytree of arrays with leading axis n.
        sharding: splits the leading axis of each batch over a mesh of this process's devices. Params that lie elsewhere
            are copied to each device.
        directory: where each batch is written, in the background and atomically. A later call with the same key,
            params, cond and draw draws only what is missing, also at another batch size or for a larger n. Damaged
            files are drawn again, with a warning. draw is compared by its jaxpr, within one version of JAX; what a
            Python callback does is not compared. Several processes need a directory on a disk that all share.
        on_batch: called as on_batch(count) after each batch that is drawn, with the number of images that are there.
        progress: whether to show a progress bar.

    Returns:
        NumPy arrays (n, *event), in the pytree that draw returns.

    Raises:
        ValueError: if n or batch_size is out of range, key is not one typed key, cond has another length, the sharding
            splits another axis than the first, does not divide the batch or lies on another process's devices, params
            are global arrays, draw returns no array or one with another leading axis, the directory holds other samples
            or a damaged manifest, or several processes have no directory that all see.
        OSError: if a batch cannot be written.
        RuntimeError: if an image that another process drew is not in the directory.
    """
    _check(key, n, batch_size, sharding, directory)
    cond = jax.tree_util.tree_map_with_path(lambda path, leaf: _checked_cond(path, leaf, n), cond)
    replicated = None if sharding is None else NamedSharding(sharding.mesh, PartitionSpec())
    given, key = key, threefry_key(key)
    key, params = jax.tree.map(lambda leaf: _on_devices(leaf, replicated), (key, params))
    images = jax.tree.map(
        lambda leaf: np.empty((n, *leaf.shape), leaf.dtype), _event(draw, params, key, cond, batch_size)
    )
    store = None
    if directory is not None:
        drawn_by = _fingerprint(draw, params, key, cond)
        store = SampleStore(directory, images, key=given, params=params, cond=cond, draw=drawn_by)
    have = np.zeros(n, bool)
    on_disk = _resume(store, have)

    run = jax.jit(draw)

    def dispatch(start: int) -> PyTree:
        # the last batch is filled up with keys of images beyond n, and the last row of cond
        rows = np.arange(start, start + batch_size)
        keys = jax.device_put(_fold_in(key, rows.astype(np.uint32)), sharding)
        filled = jax.tree.map(lambda leaf: jax.device_put(leaf[np.minimum(rows, n - 1)], sharding), cond)
        batch = run(params, keys, filled)
        jax.tree.map(lambda leaf: leaf.copy_to_host_async(), batch)
        return batch

    def fetch(start: int, batch: PyTree) -> None:
        for lo, hi in _missing_runs(on_disk, start, start + batch_size):
            for into, leaf in zip(jax.tree.leaves(images), jax.tree.leaves(batch), strict=True):
                into[lo:hi] = np.asarray(leaf)[lo - start : hi - start]
            have[lo:hi] = True
            if store is not None:
                writes.append(disk.submit(store.write, lo, hi))

    starts = [start for start in range(0, n, batch_size) if not on_disk[start : start + batch_size].all()]
    starts = starts[jax.process_index() :: jax.process_count()]
    done = int(on_disk.sum())
    total = done + sum(int((~on_disk[start : start + batch_size]).sum()) for start in starts)
    in_flight: deque[tuple[int, PyTree]] = deque()
    writes: deque[Future[None]] = deque()
    with (
        ThreadPoolExecutor(1) as disk,
        progress_bar(
            done, total, label="sampling", unit="images", visible=progress and jax.process_index() == 0
        ) as show,
    ):
        # draw one batch while the one before is fetched, so that the device never waits for the host
        for start in [*starts, None]:
            if start is not None:
                in_flight.append((start, dispatch(start)))
            if len(in_flight) == 2 or (start is None and in_flight):
                fetch(*in_flight.popleft())
                count = int((have | on_disk).sum())
                show(count, "")
                if on_batch is not None:
                    on_batch(count)
            while writes and (start is None or writes[0].done()):
                writes.popleft().result()  # raises the error of the write, if any
    _gather(store, have)
    return images


@jax.jit
def _fold_in(key: Array, rows: ArrayLike) -> Array:
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, rows)


def _resume(store: SampleStore | None, have: np.ndarray) -> np.ndarray:
    """Read the images on disk, and return which they are (n,), as the first process sees it."""
    if store is None:
        return have.copy()
    failure = None
    try:
        store.check()
        if jax.process_index() == 0:
            store.begin()
            store.read(have)
    except Exception as error:  # raised only when all processes know, because the others would wait for this one
        failure = error
    _raise_in_all_processes(failure, "another process could not use the directory")
    on_disk = have.copy()
    if jax.process_count() > 1:
        on_disk = np.asarray(multihost_utils.broadcast_one_to_all(have.astype(np.uint8)), bool)
        unseen = f"{store.manifest} is not seen by every process: take a directory on a disk that all share"
        _raise_in_all_processes(None if store.manifest.exists() else ValueError(unseen), unseen)
    if on_disk.any():
        _logger.info("%d of %d images are there already, beside %s", on_disk.sum(), len(on_disk), store.manifest)
    return on_disk


def _raise_in_all_processes(failure: Exception | None, elsewhere: str) -> None:
    """Raise in every process where any failed."""
    if not all_processes(failure is None):
        raise failure or ValueError(elsewhere)


def _gather(store: SampleStore | None, have: np.ndarray) -> None:
    """Wait for the other processes, and read what they have drawn."""
    if jax.process_count() == 1:
        return
    multihost_utils.sync_global_devices("jaxgen.generation.generate")
    store.read(have)
    if not have.all():
        raise RuntimeError(f"image {int(have.argmin())} of another process is not to be found beside {store.manifest}")


def _missing_runs(on_disk: np.ndarray, start: int, stop: int) -> list[tuple[int, int]]:
    """The runs lo … hi − 1 of images within start … stop − 1 that are not on disk."""
    edges = start + np.flatnonzero(np.diff(~on_disk[start:stop], prepend=False, append=False))
    return [(int(lo), int(hi)) for lo, hi in edges.reshape(-1, 2)]


def _checked_cond(path: tuple, leaf: PyTree, n: int) -> np.ndarray:
    leaf = np.asarray(leaf)
    if leaf.shape[:1] != (n,):
        where = "cond" + jax.tree_util.keystr(path)
        raise ValueError(f"{where} must have one row for each of n={n} images, got an array of shape {leaf.shape}")
    return leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype), copy=False)


def _on_devices(leaf: PyTree, replicated: NamedSharding | None) -> Array:
    """The leaf on the devices of the mesh; what is split over them already stays as it is."""
    if isinstance(leaf, Array) and not leaf.is_fully_addressable:
        raise ValueError("params must lie on this process's own devices: give its own copy of what is a global array")
    on_mesh = isinstance(leaf, Array) and replicated is not None and leaf.sharding.device_set == replicated.device_set
    return leaf if on_mesh else jax.device_put(leaf, replicated)


def _abstract_batch(key: Array, cond: PyTree, size: int) -> tuple[jax.ShapeDtypeStruct, PyTree]:
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape[1:]), leaf.dtype), cond)
    return jax.ShapeDtypeStruct((size,), key.dtype), batch


def _fingerprint(draw: Callable, params: PyTree, key: Array, cond: PyTree) -> str | None:
    """That of draw for a batch of one, so that it is the same at every batch size; None where draw wants more."""
    try:
        return fingerprint(draw, params, *_abstract_batch(key, cond, 1))
    except Exception:  # draw has been traced already at its own batch size
        return None


def _event(draw: Callable, params: PyTree, key: Array, cond: PyTree, batch_size: int) -> PyTree:
    """The shape and dtype of one image."""
    drawn = jax.eval_shape(draw, params, *_abstract_batch(key, cond, batch_size))
    for path, leaf in jax.tree_util.tree_leaves_with_path(drawn):
        if leaf.shape[:1] != (batch_size,):
            where = "the array" + jax.tree_util.keystr(path)
            raise ValueError(f"draw must return one row per key, ({batch_size}, …); {where} has shape {leaf.shape}")
    if not jax.tree.leaves(drawn):
        raise ValueError(f"draw must return an array or a pytree of arrays, got {drawn}")
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), drawn)


def _check(
    key: Array, n: int, batch_size: int, sharding: NamedSharding | None, directory: str | os.PathLike[str] | None
) -> None:
    if not (isinstance(key, Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0):
        raise ValueError("key must be one typed key, jax.random.key(seed): image i is drawn by fold_in(key, i)")
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

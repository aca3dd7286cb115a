"""Batches of samples on disk, a file each: written whole or not at all, and checked when they are read."""

import io
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import jax
import numpy as np
from jaxtyping import PyTree

_logger = logging.getLogger(__name__)

_NAME = re.compile(r"(\d+)-(\d+)\.npz")
_COND = "_cond"  # no leaf has this name: paths in a pytree begin with a bracket or a point
_ABANDONED = 600  # seconds after which a half-written file is nobody's: no write takes as long


class BatchFiles:
    """Images lo … hi − 1 in `directory/<lo>-<hi>.npz`, with a digest of each one's cond, beside a manifest.

    images: the pytree of arrays (n, *event) that is written from and read into. The manifest tells what no file may
    differ in: the key, the params (by their digest), and the shapes and dtypes of images and cond.
    """

    def __init__(
        self, directory: str | os.PathLike[str], images: PyTree, *, key: jax.Array, params: PyTree, cond: PyTree
    ):
        self._directory = Path(directory).expanduser().absolute()
        self._images, self._cond = _named(images, "images"), _named(cond, "cond")
        self._manifest = {
            "key": f"{jax.random.key_impl(key)} {np.asarray(jax.random.key_data(key)).tolist()}",
            "params": _digest(_named(params, "params")),
            "images": {name: _row(leaf) for name, leaf in self._images.items()},
            "cond": {name: _row(leaf) for name, leaf in self._cond.items()},
        }

    @property
    def manifest(self) -> Path:
        """The manifest's file."""
        return self._directory / "manifest.json"

    def check(self) -> None:
        """Raise ValueError if the directory holds samples of another key, other params or other shapes."""
        try:
            found = json.loads(self.manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if next(self._found(), None) is None:
                return
            raise ValueError(
                f"{self._directory} holds batches but no manifest.json that says of what: take another directory"
            ) from None
        except ValueError as error:
            raise ValueError(f"{self.manifest} is damaged ({error}): take another directory") from error
        found = found if isinstance(found, dict) else {}
        differing = [name for name, expected in self._manifest.items() if found.get(name) != expected]
        if differing:
            told = "; ".join(f"{name} {found.get(name)} there, {self._manifest[name]} given" for name in differing)
            raise ValueError(
                f"{self._directory} holds samples of another {' and '.join(differing)} ({told}): "
                "continue with what drew them, or take another directory"
            )

    def begin(self) -> None:
        """Make the directory and its manifest, and clear what killed calls left half written."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for leftover in self._directory.glob(".*.partial"):
            with suppress(FileNotFoundError):  # another call's, by now in its place
                if time.time() - leftover.stat().st_mtime > _ABANDONED:
                    leftover.unlink()
        if not self.manifest.exists():
            text = json.dumps(self._manifest, indent=1, ensure_ascii=False)
            _commit(self.manifest, lambda file: file.write(text.encode()))

    def read(self, have: np.ndarray) -> None:
        """Read the images that are there and not yet in `have` (n,), a mask that is updated.

        A damaged file is deleted, with a warning. Raises ValueError if an image was drawn for another cond.
        """
        n = len(have)
        for lo, hi, path in sorted(self._found()):
            stop = min(hi, n)
            if have[lo:stop].all():  # so too beyond n, where there is nothing to ask
                continue
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            try:
                leaves, digests = self._parse(data, hi - lo)
            except Exception as error:  # damage has no type of its own
                _logger.warning("%s is damaged (%.200s): its images are drawn again", path, error)
                path.unlink(missing_ok=True)
                continue
            differing = (digests[: stop - lo] != self._digests(lo, stop)).any(axis=1)
            if differing.any():
                raise ValueError(
                    f"{path} holds image {lo + int(differing.argmax())} drawn for another cond than the one given: "
                    "continue with the cond that drew it, or take another directory"
                )
            missing = lo + np.flatnonzero(~have[lo:stop])
            for name, leaf in leaves.items():
                self._images[name][missing] = leaf[missing - lo]
            have[missing] = True

    def write(self, lo: int, hi: int) -> None:
        """Write images lo … hi − 1: under their name there is a whole file, or none."""
        arrays = {name: leaf[lo:hi].view(_stored(leaf.dtype)) for name, leaf in self._images.items()}
        arrays[_COND] = self._digests(lo, hi)
        _commit(self._directory / f"{lo:09d}-{hi:09d}.npz", lambda file: np.savez(file, **arrays))

    def _found(self) -> Iterator[tuple[int, int, Path]]:
        for path in self._directory.glob("*.npz"):
            if match := _NAME.fullmatch(path.name):
                lo, hi = map(int, match.groups())
                if lo < hi:
                    yield lo, hi, path

    def _parse(self, data: bytes, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        leaves = {}
        # the zip's checksums find what is not as it was written
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            for name, like in self._images.items():
                leaf, stored = file[name], _stored(like.dtype)
                if leaf.shape != (count, *like.shape[1:]) or leaf.dtype != stored:
                    raise ValueError(f"{name} is {leaf.dtype}{leaf.shape}")
                leaves[name] = leaf.view(like.dtype)
            digests = file[_COND]
        if digests.shape != (count, 16) or digests.dtype != np.uint8:
            raise ValueError("no digests of cond")
        return leaves, digests

    def _digests(self, lo: int, hi: int) -> np.ndarray:
        leaves = list(self._cond.values())
        rows = (b"".join(leaf[i].tobytes() for leaf in leaves) for i in range(lo, hi))
        digests = b"".join(blake2b(row, digest_size=16).digest() for row in rows)
        return np.frombuffer(digests, np.uint8).reshape(hi - lo, 16)


def _named(tree: PyTree, root: str) -> dict[str, Any]:
    """The leaves by their paths; a tree that is one leaf has the root's name."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path) or root: leaf for path, leaf in leaves}


def _row(leaf: np.ndarray) -> str:
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape[1:]))}]"


def _digest(leaves: dict[str, Any]) -> str:
    digest = blake2b(digest_size=16)
    for name, leaf in leaves.items():
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        array = np.asarray(leaf)
        digest.update(f"{name} {array.dtype}{array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _stored(dtype: np.dtype) -> np.dtype:
    """The dtype itself if files of arrays know it, else unsigned integers of its size (bfloat16, float8)."""
    return dtype if dtype.isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")


def _commit(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)

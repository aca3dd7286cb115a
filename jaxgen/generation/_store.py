"""Batches of samples on disk, a file each, written atomically and checked when read."""

import io
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from jaxgen.core import write_atomically

_logger = logging.getLogger(__name__)

_NAME = re.compile(r"(\d+)-(\d+)\.npz")
_COND = "_cond"  # no leaf has this name: paths in a pytree begin with a bracket or a point
_ABANDONED = 600  # seconds after which no call still writes a partial file


class SampleStore:
    """Samples lo … hi − 1 in `directory/<lo>-<hi>.npz`, with a digest of each one's cond, beside a manifest.

    The manifest records what all files share: the key, a digest of the params, the shapes and dtypes of images and
    cond, and the fingerprint of draw.

    Args:
        directory: where the files are.
        images: the pytree of arrays (n, *event) that is written from and read into.
        key: the key of the call.
        params: the parameters of draw.
        cond: the pytree of arrays (n, …) of conditioning.
        draw: `fingerprint` of the function that draws.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        images: PyTree,
        *,
        key: jax.Array,
        params: PyTree,
        cond: PyTree,
        draw: str | None,
    ):
        self._directory = Path(directory).expanduser().absolute()
        self._images, self._cond = _by_path(images, "images"), _by_path(cond, "cond")
        self._inputs = {
            "key": f"{jax.random.key_impl(key)} {np.asarray(jax.random.key_data(key)).tolist()}",
            "params": _digest(_by_path(params, "params")),
            "images": {name: _row_type(leaf) for name, leaf in self._images.items()},
            "cond": {name: _row_type(leaf) for name, leaf in self._cond.items()},
        }
        # The jaxpr of one function changes with JAX, so only fingerprints of one version are compared.
        self._draw = {"jax": jax.__version__, "fingerprint": draw}

    @property
    def manifest(self) -> Path:
        """The manifest's file."""
        return self._directory / "manifest.json"

    def check(self) -> None:
        """Raise ValueError if the directory holds samples of another key, params, draw or shapes."""
        try:
            found = json.loads(self.manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if next(self._files(), None) is None:
                return
            raise ValueError(f"{self._directory} holds batches but no manifest.json: take another directory") from None
        except ValueError as error:
            raise ValueError(f"{self.manifest} is damaged ({error}): take another directory") from error
        found = found if isinstance(found, dict) else {}
        differing = [name for name, expected in self._inputs.items() if found.get(name) != expected]
        if differing:
            details = "; ".join(f"{name} {found.get(name)} there, {self._inputs[name]} given" for name in differing)
            raise ValueError(
                f"{self._directory} holds samples of another {' and '.join(differing)} ({details}): "
                "continue with what drew them, or take another directory"
            )
        drew = found.get("draw", self._draw)  # manifests of earlier versions have none
        comparable = drew["jax"] == jax.__version__ and None not in (drew["fingerprint"], self._draw["fingerprint"])
        if not comparable or "draw" not in found:
            _logger.warning("%s: its samples may be of another draw, which cannot be compared", self._directory)
        elif drew != self._draw:
            raise ValueError(
                f"{self._directory} holds samples of another draw: the computation of the function given differs "
                "from that of the one that drew them. Continue with that one, or take another directory"
            )

    def begin(self) -> None:
        """Make the directory and its manifest, and delete the partial files that killed calls left."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for leftover in self._directory.glob(".*.partial"):
            with suppress(FileNotFoundError):  # another call has just renamed it
                if time.time() - leftover.stat().st_mtime > _ABANDONED:
                    leftover.unlink()
        if not self.manifest.exists():
            text = json.dumps(self._inputs | {"draw": self._draw}, indent=1, ensure_ascii=False)
            write_atomically(self.manifest, lambda file: file.write(text.encode()))

    def read(self, have: np.ndarray) -> None:
        """Read the images on disk that are not yet in `have` (n,), a mask, and update it.

        A damaged file is deleted, with a warning. Raises ValueError if an image was drawn for another cond.
        """
        n = len(have)
        for lo, hi, path in sorted(self._files()):
            stop = min(hi, n)
            if have[lo:stop].all():  # also beyond n, where the slice is empty
                continue
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            try:
                leaves, digests = self._parse(data, hi - lo)
            except Exception as error:  # damage raises errors of many types
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
        """Write images lo … hi − 1 in a file that appears whole or not at all."""
        arrays = {name: leaf[lo:hi].view(_stored_dtype(leaf.dtype)) for name, leaf in self._images.items()}
        arrays[_COND] = self._digests(lo, hi)
        write_atomically(self._directory / f"{lo:09d}-{hi:09d}.npz", lambda file: np.savez(file, **arrays))

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        for path in self._directory.glob("*.npz"):
            if match := _NAME.fullmatch(path.name):
                lo, hi = map(int, match.groups())
                if lo < hi:
                    yield lo, hi, path

    def _parse(self, data: bytes, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        leaves = {}
        # reading checks the zip's checksums
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            for name, expected in self._images.items():
                leaf, stored = file[name], _stored_dtype(expected.dtype)
                if leaf.shape != (count, *expected.shape[1:]) or leaf.dtype != stored:
                    raise ValueError(f"{name} is {leaf.dtype}{leaf.shape}")
                leaves[name] = leaf.view(expected.dtype)
            digests = file[_COND]
        if digests.shape != (count, 16) or digests.dtype != np.uint8:
            raise ValueError("no digests of cond")
        return leaves, digests

    def _digests(self, lo: int, hi: int) -> np.ndarray:
        leaves = list(self._cond.values())
        rows = (b"".join(leaf[i].tobytes() for leaf in leaves) for i in range(lo, hi))
        digests = b"".join(blake2b(row, digest_size=16).digest() for row in rows)
        return np.frombuffer(digests, np.uint8).reshape(hi - lo, 16)


def _by_path(tree: PyTree, root: str) -> dict[str, Any]:
    """The leaves by their paths; a tree of one leaf has the path `root`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path) or root: leaf for path, leaf in leaves}


def _row_type(leaf: np.ndarray) -> str:
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


def _stored_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype itself if .npz files know it, else unsigned integers of its size (bfloat16, float8)."""
    return dtype if dtype.isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")

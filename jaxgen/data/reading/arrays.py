"""Images and labels in NumPy's files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgen.data.reading.npy import Header, read_header, read_values
from jaxgen.data.reading.npz import NpzArchive
from jaxgen.data.reading.untrusted import RefusedFileError, bytes_on_disk, open_regular, prefixing_errors, refuse_errors

LoadedArrays = tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]  # images, labels, label names

_MAX_NAMES = 2**20  # a hundred times those of the largest datasets


class _Role(NamedTuple):
    what: str
    fits: Callable[[np.dtype], bool]
    expected: str


_IMAGES = _Role(
    "images", lambda dtype: dtype == np.uint8 or dtype.kind == "f", "uint8 in [0, 255] or floats in [0, 1] or [-1, 1]"
)
_LABELS = _Role("labels", lambda dtype: dtype.kind in "biuf", "integers (N,) or one-hot rows (N, K)")
_NAMES = _Role("label names", lambda dtype: dtype.kind in "SU", "a text for each class")


def read_npy(path: Path, subset: str | None) -> LoadedArrays:
    """Read an array of images (N, H, W, C) or (N, H, W)."""
    if subset is not None:
        raise ValueError(f"subset={subset!r} was asked for, but {path} is one array without parts: drop subset=.")
    return _with_channels(_load(path, _IMAGES)), None, ()


def read_npz(path: Path, subset: str | None, warn: bool = True) -> LoadedArrays:
    """Read images, labels and label names from the arrays of an archive.

    If no array has the name of labels, a warning lists the arrays that were not read; `warn=False` drops it.
    """
    with NpzArchive(path) as archive:
        keys = archive.keys
        image_key = _find(keys, ("images", "x"), subset)
        if image_key is None and subset is None:
            with_four_axes = [key for key in keys if _axes(archive, key) == 4]
            image_key = with_four_axes[0] if len(with_four_axes) == 1 else None
        if image_key is None:
            wanted = "'images' or 'x'" if subset is None else f"'{subset}_images' or 'x_{subset}'"
            raise ValueError(
                f"{path} holds the arrays {archive.shown}; expected images under {wanted}: rename them, or pass "
                "subset= where there are several parts."
            )
        images = _with_channels(_read(archive, image_key, _IMAGES))
        label_key = _find(keys, ("labels", "y"), subset)
        others = {_subset_of(key) for key in keys} - {None, subset} if subset else ()
        unread = [key for key in keys if key not in (image_key, "label_names") and not any(s in key for s in others)]
        if label_key is None and unread and warn:
            expected = "'labels' or 'y'" if subset is None else f"'{subset}_labels' or 'y_{subset}'"
            warnings.warn(
                f"{path} has no labels under {expected}, and its arrays {[key[:80] for key in unread[:10]]} were not "
                f"read. If one of them holds the labels, rename it, or pass it to load_images as labels=.",
                stacklevel=3,
            )
        labels = None if label_key is None else _labels(_read(archive, label_key, _LABELS), f"{path}[{label_key}]")
        names = _names(_read(archive, "label_names", _NAMES), path) if "label_names" in keys else ()
    return images, labels, names


def read_labels(source: str | Path | np.ndarray) -> np.ndarray:
    """Return integer labels (N,) from integers (N,) or (N, 1), one-hot rows (N, K), or the .npy file of either."""
    if isinstance(source, np.ndarray):
        return _integers(source)
    path = Path(source).expanduser()
    if path.suffix != ".npy":
        raise ValueError(f"labels= is {path}; expected a .npy file.")
    return _labels(_load(path, _LABELS), path)


def _labels(stored: np.ndarray, name: str | Path) -> np.ndarray:
    with prefixing_errors(name):
        labels = _integers(stored)
    if not np.issubdtype(labels.dtype, np.integer):
        raise RefusedFileError(f"{name}: labels have dtype {labels.dtype}; expected {_LABELS.expected}.")
    return labels


def _integers(source: np.ndarray) -> np.ndarray:
    labels = source[:, 0] if source.ndim == 2 and source.shape[1] == 1 else source
    if labels.ndim == 2:
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise ValueError(f"labels have shape {labels.shape} but their rows are not one-hot; pass integers (N,).")
        return labels.argmax(axis=1).astype(np.int32)
    if labels.ndim != 1:
        raise ValueError(f"labels have shape {labels.shape}; expected integers (N,) or one-hot rows (N, K).")
    # ImageDataset refuses other dtypes.
    if not np.issubdtype(labels.dtype, np.integer):
        return labels
    # A cast would turn 2**32 into class 0.
    if labels.size and not -(2**31) <= int(labels.min()) <= int(labels.max()) < 2**31:
        raise ValueError(f"labels span {labels.min()} to {labels.max()}, beyond 32 bits: number the classes from 0.")
    return labels.astype(np.int32)


def _load(path: Path, role: _Role) -> np.ndarray:
    with open_regular(path) as file:
        header = read_header(file, str(path))
        _check_role(header, role, str(path))
        return read_values(file, header, path.stat().st_size, bytes_on_disk(path), str(path))


def _read(archive: NpzArchive, key: str, role: _Role) -> np.ndarray:
    with archive.open(key) as member:
        _check_role(member.header, role, member.name)
        return member.values()


def _axes(archive: NpzArchive, key: str) -> int:
    with archive.open(key) as member:
        return len(member.header.shape)


def _check_role(header: Header, role: _Role, name: str) -> None:
    if not role.fits(header.dtype):
        raise RefusedFileError(f"{name}: {role.what} have dtype {header.dtype}; expected {role.expected}.")


def _names(stored: np.ndarray, path: Path) -> tuple[str, ...]:
    if stored.ndim != 1 or stored.size > _MAX_NAMES:
        raise RefusedFileError(f"{path}[label_names] has shape {stored.shape}; expected (K,), K to {_MAX_NAMES}.")
    with refuse_errors(f"{path}[label_names]", "array of text", "save it again"):  # code points beyond Unicode
        return tuple(map(str, stored))


def _find(keys: tuple[str, ...], names: tuple[str, ...], subset: str | None) -> str | None:
    wanted = names if subset is None else [form for name in names for form in (f"{subset}_{name}", f"{name}_{subset}")]
    return next((key for key in wanted if key in keys), None)


def _subset_of(key: str) -> str | None:
    match = re.fullmatch(r"(?:(\w+?)_)?(?:images|x|labels|y)(?:_(\w+))?", key)
    return match and (match[1] or match[2])


def _with_channels(images: np.ndarray) -> np.ndarray:
    return images[..., None] if images.ndim == 3 else images

"""Images and labels stored as numpy arrays."""

from __future__ import annotations

import tokenize
import zipfile
from pathlib import Path

import numpy as np

Parts = tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]  # images, labels, label names

# a garbled header may break off in NumPy's tokeniser, or ask for more than there is memory
_UNREADABLE = (ValueError, EOFError, OSError, MemoryError, tokenize.TokenError, zipfile.BadZipFile)


def read_npy(path: Path, subset: str | None) -> Parts:
    """Read an array of images (N, H, W, C) or (N, H, W).

    Raises:
        ValueError: a `subset` was asked for, or the file is no plain array.
    """
    if subset is not None:
        raise ValueError(f"subset={subset!r} was asked for, but {path} is one array without parts: drop subset=.")
    return _with_channels(_load(path)), None, ()


def read_npz(path: Path, subset: str | None) -> Parts:
    """Read images, labels and label names from the arrays of an archive.

    Raises:
        ValueError: no array of images, several with none of the usual names, or pickled objects.
    """
    with _load(path) as archive:
        keys = archive.files
        image_key = _find(keys, ("images", "x"), subset)
        if image_key is None and subset is None:
            with_four_axes = [key for key in keys if _read(archive, key, path).ndim == 4]
            image_key = with_four_axes[0] if len(with_four_axes) == 1 else None
        if image_key is None:
            wanted = "'images' or 'x'" if subset is None else f"'{subset}_images' or 'x_{subset}'"
            raise ValueError(
                f"{path} holds the arrays {keys}; expected images under {wanted}: rename them, or pass subset= "
                "where there are several parts."
            )
        images = _with_channels(_read(archive, image_key, path))
        label_key = _find(keys, ("labels", "y"), subset)
        labels = None if label_key is None else read_labels(_read(archive, label_key, path))
        names = tuple(map(str, _read(archive, "label_names", path))) if "label_names" in keys else ()
    return images, labels, names


def read_labels(source: str | Path | np.ndarray) -> np.ndarray:
    """Return integer labels (N,) from integers (N,) or (N, 1), one-hot rows (N, K), or the .npy file of either.

    Raises:
        FileNotFoundError: no such file.
        ValueError: rows that are not one-hot, or another shape.
    """
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"the file of labels, {path}, does not exist (looked in {Path.cwd()}).")
        if path.suffix != ".npy":
            raise ValueError(f"labels= is {path}; expected a .npy file.")
        source = _load(path)
    labels = source[:, 0] if source.ndim == 2 and source.shape[1] == 1 else source
    if labels.ndim == 2:
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise ValueError(f"labels have shape {labels.shape} but their rows are not one-hot; pass integers (N,).")
        return labels.argmax(axis=1).astype(np.int32)
    if labels.ndim != 1:
        raise ValueError(f"labels have shape {labels.shape}; expected integers (N,) or one-hot rows (N, K).")
    # Other dtypes go on to ImageDataset, which refuses them.
    return labels.astype(np.int32) if np.issubdtype(labels.dtype, np.integer) else labels


def _load(path: Path):
    try:
        return np.load(path, allow_pickle=False)
    except _UNREADABLE as error:
        raise ValueError(_not_plain(path)) from error


def _read(archive, key: str, path: Path) -> np.ndarray:
    try:
        return archive[key]
    except _UNREADABLE as error:
        raise ValueError(_not_plain(f"{path}[{key!r}]")) from error


def _not_plain(what: str | Path) -> str:
    return (
        f"{what} is not a readable array of numbers. Pickled objects are refused, since loading them can run code: "
        "save a plain array with numpy.save or numpy.savez."
    )


def _find(keys: list[str], names: tuple[str, ...], subset: str | None) -> str | None:
    wanted = names if subset is None else [form for name in names for form in (f"{subset}_{name}", f"{name}_{subset}")]
    return next((key for key in wanted if key in keys), None)


def _with_channels(images: np.ndarray) -> np.ndarray:
    return images[..., None] if images.ndim == 3 else images

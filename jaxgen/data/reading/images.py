"""Folders and tars of image files, where a folder is a class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from jaxgen.data.reading.arrays import LoadedArrays
from jaxgen.data.reading.decoding import decode_image, size_of
from jaxgen.data.reading.entries import IMAGE_SUFFIXES, image_entries, is_tar
from jaxgen.data.reading.untrusted import bytes_on_disk, check_expansion


def read_image_files(
    path: Path, subset: str | None, transform: Callable[[np.ndarray], np.ndarray] | None, size: int | None
) -> LoadedArrays:
    """Read all images below a folder or in a tar as uint8, sorted by path."""
    found: dict[PurePosixPath, np.ndarray] = {}
    folders: set[str] = set()
    budget = MemoryBudget(path)
    expected = None if size is None else ((size, size), "size asked for")
    for name, read in image_entries(path):
        folders.update(name.parts[:-1])
        if subset is not None and subset not in name.parts[:-1]:
            continue
        image = decode_image(read, f"{path}/{name}")
        image = image if transform is None else transform(image)
        expected = expected or (image.shape[:2], f"size of {name}")
        if image.shape[:2] != expected[0]:
            raise ValueError(
                f"{path}/{name} has {size_of(image.shape)} pixels, but the {expected[1]} is {size_of(expected[0])}: "
                f"pass resize={max(expected[0])}, or another size for all."
            )
        budget.add(name, image)
        found[name] = image
    if not found and subset is not None and folders:
        raise ValueError(f"{path} has no folder {subset!r} with images below it, only {sorted(folders)[:20]}.")
    if not found:
        raise FileNotFoundError(f"{path} holds no images; looked at all depths for {', '.join(IMAGE_SUFFIXES)}.")
    names = sorted(found)
    return stack_images([found[name] for name in names]), *_labels_from_folders(path, names)


class MemoryBudget:
    """A limit on the memory of decoded images, from the size of their folder or tar on disk."""

    def __init__(self, path: Path):
        """Start with no images of this folder or tar."""
        self._path, self._kept = path, 0
        self._tar = is_tar(path)
        self._stored = bytes_on_disk(path) if self._tar else 0

    def add(self, name: PurePosixPath, image: np.ndarray) -> None:
        """Count an image that is kept."""
        self._kept += image.nbytes
        if not self._tar:
            self._stored += bytes_on_disk(self._path / name)
        check_expansion(self._path, self._kept, self._stored)


def _labels_from_folders(path: Path, names: list[PurePosixPath]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    shallow, deep = (choose(names, key=lambda name: len(name.parts)) for choose in (min, max))
    if len(shallow.parts) != len(deep.parts):
        raise ValueError(
            f"{path} holds images at different depths, such as {shallow} and {deep}, so a folder is not always a "
            "class: put each image in the folder of its class."
        )
    if len({name.parent for name in names}) == 1:
        return None, ()
    classes, labels = np.unique([name.parent.name for name in names], return_inverse=True)
    return labels.astype(np.int32), tuple(map(str, classes))


def stack_images(images: list[np.ndarray]) -> np.ndarray:
    """Stack images of one size; grey ones get three channels if others have them."""
    channels = max(image.shape[-1] for image in images)
    out = np.empty((len(images), *images[0].shape[:2], channels), np.uint8)
    for target, image in zip(out, images, strict=True):
        target[:] = image
    return out

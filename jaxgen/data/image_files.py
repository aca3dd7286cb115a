"""Folders and tars of image files, in which a folder is a class."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from jaxgen.data.array_files import Parts
from jaxgen.data.resizing import import_pillow

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")

Entries = Iterator[tuple[PurePosixPath, Callable[[], IO[bytes]]]]


def is_tar(path: Path) -> bool:
    """Tell by its name whether a file is a tar."""
    return path.name.lower().endswith(TAR_SUFFIXES)


def read_image_files(
    path: Path, subset: str | None, transform: Callable[[np.ndarray], np.ndarray] | None, size: int | None
) -> Parts:
    """Read every image below a folder or in a tar as uint8, in the order of their paths.

    Raises:
        FileNotFoundError: no images.
        ValueError: an unknown subset, images at different depths, an unreadable or 16-bit image, or images whose size
            (after `transform`) is not `size`, or not the first one's.
    """
    found: dict[PurePosixPath, np.ndarray] = {}
    folders: set[str] = set()
    expected = None if size is None else ((size, size), "size asked for")
    for name, open_file in image_entries(path):
        folders.update(name.parts[:-1])
        if subset is not None and subset not in name.parts[:-1]:
            continue
        image = decode_image(open_file, f"{path}/{name}")
        image = image if transform is None else transform(image)
        expected = expected or (image.shape[:2], f"size of {name}")
        if image.shape[:2] != expected[0]:
            raise ValueError(
                f"{path}/{name} has {_size(image.shape)} pixels, but the {expected[1]} is {_size(expected[0])}: "
                f"pass resize={max(expected[0])}, or another size for all."
            )
        found[name] = image
    if not found and subset is not None and folders:
        raise ValueError(f"{path} has no folder {subset!r} with images below it; its folders are {sorted(folders)}.")
    if not found:
        raise FileNotFoundError(f"{path} holds no images; looked at all depths for {', '.join(IMAGE_SUFFIXES)}.")
    names = sorted(found)
    return stack_images([found[name] for name in names]), *_labels_from_folders(path, names)


def image_entries(path: Path) -> Entries:
    """Yield the name of every image below a folder or in a tar, and how to open it; hidden files are passed over."""
    for name, open_file in _tar_entries(path) if is_tar(path) else _folder_entries(path):
        hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
        if name.suffix.lower() in IMAGE_SUFFIXES and not hidden:
            yield name, open_file


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


def _folder_entries(path: Path) -> Entries:
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield PurePosixPath(file.relative_to(path).as_posix()), lambda file=file: file.open("rb")


def _tar_entries(path: Path) -> Entries:
    # Members are read in memory, one after another as they come; nothing is unpacked onto the disk.
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                if member.isfile():
                    yield PurePosixPath(member.name), lambda member=member: archive.extractfile(member)
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise ValueError(f"{path} is not a readable tar ({error}): it may be cut short; fetch it again.") from error


def decode_image(open_file: Callable[[], IO[bytes]], name: str, sides: tuple[int, int] | None = None) -> np.ndarray:
    """Return (H, W, 1) for a grey image and (H, W, 3) for a coloured one, transparent pixels laid on white.

    Raises:
        ValueError: an unreadable or 16-bit image, or a side below `sides[0]` or above `sides[1]` pixels, which is
            found out before any pixel is decoded.
    """
    pillow = import_pillow()
    try:
        with open_file() as file, pillow.open(file) as opened:
            if sides and not sides[0] <= min(opened.size) <= max(opened.size) <= sides[1]:
                raise ValueError(
                    f"{name} has {_size(opened.size[::-1])} pixels; expected sides of {sides[0]} to {sides[1]}: "
                    "remove or resize it."
                )
            opened.load()
            image = opened
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"{name} has 16 or 32 bits per value (mode {image.mode}); convert it to 8 bits.")
            grey = image.mode in ("1", "L", "LA")
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = pillow.alpha_composite(pillow.new("RGBA", image.size, "white"), image)
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (
        *(OSError, SyntaxError, EOFError, pillow.DecompressionBombError),
        *(tarfile.TarError, lzma.LZMAError, zlib.error),
    ) as error:
        raise ValueError(f"{name} is not a readable image ({error}): remove or replace it.") from error
    return pixels[..., None] if grey else pixels


def stack_images(images: list[np.ndarray]) -> np.ndarray:
    """Stack images of one size; grey ones get three channels where others have colour."""
    channels = max(image.shape[-1] for image in images)
    out = np.empty((len(images), *images[0].shape[:2], channels), np.uint8)
    for target, image in zip(out, images, strict=True):
        target[:] = image
    return out


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}×{shape[1]}"

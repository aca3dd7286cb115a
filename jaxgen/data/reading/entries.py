"""Finding and reading image files below a folder or in a tar, both untrusted."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from jaxgen.data.dataset import has_control_characters
from jaxgen.data.reading.npy import DOWNLOAD_AGAIN
from jaxgen.data.reading.tar import TarStream
from jaxgen.data.reading.untrusted import RefusedFileError, open_regular, refuse_errors

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")

MAX_FILE_BYTES = 2**28  # bytes of an encoded image
# Members of a tar besides images, folders included. Each takes time to skip, but only a few bytes if compressed.
_MAX_OTHERS = 2**17
_OTHERS_PER_IMAGE = 4
_COPY = "remove it or, if you trust it, copy the files that links lead to with cp -rL"

Entries = Iterator[tuple[PurePosixPath, Callable[[], bytes]]]


def is_tar(path: Path) -> bool:
    """Tell from its name whether a file is a tar."""
    return path.name.lower().endswith(TAR_SUFFIXES)


def image_entries(path: Path) -> Entries:
    """Yield the name of each image below a folder or in a tar, and a function that reads its bytes.

    Hidden files are skipped. Read an image, if at all, before the next one is yielded.
    """
    for name, read in _tar_entries(path) if is_tar(path) else _folder_entries(path):
        if _is_image(name):
            if has_control_characters(str(name)):
                raise RefusedFileError(f"{path} holds {str(name)!r}, a name with control characters: rename it.")
            yield name, read


def _is_image(name: PurePosixPath) -> bool:
    return name.suffix.lower() in IMAGE_SUFFIXES and not _hidden(name)


def _hidden(name: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.parts)


def _folder_entries(path: Path) -> Entries:
    root = path.resolve()
    for file in _files_below(path):
        name = PurePosixPath(file.relative_to(path).as_posix())
        if file.is_symlink() and file.suffix.lower() in IMAGE_SUFFIXES:
            _check_link(file, root)
        yield name, lambda file=file: _whole(file)


def _files_below(path: Path) -> list[Path]:
    waiting, found = [path], []  # no recursion, whose depth is limited
    while waiting:
        with (
            refuse_errors(waiting[-1], "folder", "change its mode, or remove it"),
            os.scandir(waiting.pop()) as entries,
        ):
            for entry in entries:
                if _hidden(PurePosixPath(entry.name)):
                    continue
                if entry.is_symlink() and Path(entry).is_dir():
                    raise RefusedFileError(f"{entry.path} is a link to a folder, which is not followed: {_COPY}.")
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry))
                else:
                    found.append(Path(entry))
    return sorted(found)


def _check_link(file: Path, root: Path) -> None:
    try:
        target = file.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise RefusedFileError(f"{file} is a link that leads nowhere: remove it.") from error
    if not target.is_relative_to(root):
        raise RefusedFileError(f"{file} is a link out of its folder, to {target}: {_COPY}.")


def _whole(file: Path) -> bytes:
    with open_regular(file) as opened:
        _check_file(file, file.stat().st_size)
        with refuse_errors(file, "file", "remove or replace it"):
            return opened.read(MAX_FILE_BYTES)


def _check_file(name: str | Path, size: int) -> None:
    if not 0 <= size <= MAX_FILE_BYTES:
        raise RefusedFileError(f"{name} has {size} bytes; images have at most {MAX_FILE_BYTES}: shrink or remove it.")


def _tar_entries(path: Path) -> Entries:
    # Members are read into memory one by one; nothing is unpacked to disk.
    seen: set[PurePosixPath] = set()
    images = others = 0
    with TarStream(path) as stream:
        with refuse_errors(path, "tar", DOWNLOAD_AGAIN):
            archive = tarfile.TarFile(fileobj=stream)
        while True:
            stream.allow()
            with refuse_errors(path, "tar", DOWNLOAD_AGAIN):
                member = archive.next()
            archive.members.clear()  # tarfile keeps them all otherwise
            if member is None:
                break
            content, name = _is_content(member, path), PurePosixPath(member.name)
            image = content and _is_image(name)
            images, others = images + image, others + (not image)
            if others > _MAX_OTHERS + _OTHERS_PER_IMAGE * images:
                raise RefusedFileError(f"{path} holds {others} members beside {images} images: pack the images alone.")
            if not content:
                continue
            if name in seen:
                raise RefusedFileError(f"{path} holds {member.name[:200]!r} twice: pack it again.")
            seen.add(name)
            yield name, lambda member=member: _content(archive, stream, member, path)
        if not stream.ended_well:
            raise RefusedFileError(f"{path} has a broken header at byte {archive.offset}: {DOWNLOAD_AGAIN}.")


def _is_content(member: tarfile.TarInfo, path: Path) -> bool:
    """Whether a member is a file, not a folder; anything else is refused."""
    shown, name = repr(member.name[:200]), PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise RefusedFileError(f"{path} holds {shown}, a path out of its folder: do not trust it, or pack it again.")
    if member.size < 0:
        raise RefusedFileError(f"{path} holds {shown} of {member.size} bytes: do not trust it.")
    if member.issparse():
        raise RefusedFileError(f"{path} holds {shown}, a file with holes: pack it again without --sparse.")
    if member.islnk() or member.issym():
        raise RefusedFileError(
            f"{path} holds {shown}, a link to {member.linkname[:200]!r}, which is not followed: pack it again with "
            "tar --dereference --hard-dereference."
        )
    if not member.isfile() and not member.isdir():
        raise RefusedFileError(f"{path} holds {shown}, which is neither file nor folder, as devices: do not trust it.")
    return member.isfile()


def _content(archive: tarfile.TarFile, stream: TarStream, member: tarfile.TarInfo, path: Path) -> bytes:
    name = f"{path}/{member.name}"
    _check_file(name, member.size)
    stream.allow(member.size + 1)  # tarfile reads to its end
    with refuse_errors(name, "member of a tar", DOWNLOAD_AGAIN):
        return archive.extractfile(member).read()

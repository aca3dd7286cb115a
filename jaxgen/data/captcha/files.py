"""CAPTCHAs from image files that are named by their text."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from jaxgen.data.captcha.texts import check_alphabet, check_text, encode_texts
from jaxgen.data.dataset import ImageDataset
from jaxgen.data.reading.decoding import decode_image
from jaxgen.data.reading.entries import image_entries, is_tar
from jaxgen.data.reading.images import MemoryBudget, stack_images
from jaxgen.data.resizing import Resize

SIDES = (8, 2048)  # of an image, in pixels
_STRETCH = 2.0  # the largest change of the aspect ratio by resizing

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_COPY = re.compile(r"(?P<text>.+)_\d+")


def load_captchas(
    path: str | Path,
    *,
    alphabet: str | None = None,
    length: int | None = None,
    size: tuple[int, int] | None = None,
    color: bool = False,
    resize_filter: str = "bicubic",
) -> ImageDataset:
    """Load CAPTCHAs from a folder or tar of images that are named by their text.

    `2b827.png` shows 2b827, and so do `2b827_1.png` and `2b827_2.jpg`: an underscore and digits number copies, so
    texts hold no underscore. Upper and lower case differ. Images at all depths are loaded, sorted by path; hidden files
    and files without an image extension are ignored. Transparent pixels are blended with white.

    Args:
        path: a folder, .tar, .tar.gz, .tar.xz or .tar.bz2.
        alphabet: the characters of the texts, in the order of their tokens; None takes those found, sorted.
        length: the number of characters of each text; None takes the most frequent.
        size: the (height, width) in pixels to which whole images are stretched; None expects all images to have the
            same size. Images are not cropped, as that could remove characters.
        color: keep three channels instead of the luminance.
        resize_filter: as in `load_images`.

    Returns:
        Images (N, H, W, 1 or 3), uint8, with tokens (N, L) as labels and the alphabet as their names.

    Raises:
        FileNotFoundError: if there is no such path, or no image in it.
        ValueError: if path is neither a folder nor a tar, an argument is out of range, a name is not a text of that
            alphabet and length, an image is unreadable or has a side outside [8, 2048] pixels, sizes differ and `size`
            is not given, or stretching would change an aspect ratio more than twofold. The message names the file. All
            names are checked before any image is decoded.
        ImportError: if Pillow is not installed.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist (looked in {Path.cwd()}).")
    if not path.is_dir() and not is_tar(path):
        raise ValueError(f"{path} is neither a folder nor a tar of images.")
    if size is not None and not all(SIDES[0] <= side <= SIDES[1] for side in size):
        raise ValueError(f"size is {size}; expected (height, width), each from {SIDES[0]} to {SIDES[1]}.")
    resize = None if size is None else Resize(*size, resize_filter)

    texts = _texts_of_names(path, alphabet, length)
    found: dict[PurePosixPath, np.ndarray] = {}
    budget = MemoryBudget(path)
    for name, read in image_entries(path):
        image = decode_image(read, f"{path}/{name}", SIDES)
        if resize is not None:
            _check_stretch(image, size, f"{path}/{name}")
            image = resize(image)
        first = next(iter(found.items()), (name, image))
        if image.shape[:2] != first[1].shape[:2]:
            (height, width), (other, another) = first[1].shape[:2], image.shape[:2]
            raise ValueError(
                f"{path}/{name} has {other}×{another} pixels but {first[0]} has {height}×{width}: "
                f"pass size=({height}, {width}), or another, to stretch all to it."
            )
        budget.add(name, image)
        found[name] = _channels(image, color)
    names = sorted(found)
    characters = alphabet or "".join(sorted(set("".join(texts.values()))))
    tokens = encode_texts([texts[name] for name in names], characters)
    return ImageDataset(stack_images([found[name] for name in names]), tokens, tuple(characters))


def _texts_of_names(path: Path, alphabet: str | None, length: int | None) -> dict[PurePosixPath, str]:
    if alphabet is not None:
        check_alphabet(alphabet)
        if "_" in alphabet:
            raise ValueError("the alphabet holds '_', which numbers copies in the names of files: leave it out.")
    texts = {name: _text(name) for name, _ in image_entries(path)}
    if not texts:
        raise FileNotFoundError(f"{path} holds no images; looked at all depths.")
    length = length or Counter(map(len, texts.values())).most_common(1)[0][0]
    for name, text in sorted(texts.items()):
        what = f"the name of {path}/{name}"
        check_text(text, alphabet or text.replace("_", ""), length, what)
        if bad := sorted({c for c in text if c.isspace() or not c.isprintable()}):
            raise ValueError(f"{what} has the characters {bad}, which cannot be seen: rename it.")
    return texts


def _text(name: PurePosixPath) -> str:
    copy = _COPY.fullmatch(name.stem)
    return copy["text"] if copy else name.stem


def _check_stretch(image: np.ndarray, size: tuple[int, int], name: str) -> None:
    (height, width), (new_height, new_width) = image.shape[:2], size
    stretch = (width / height) / (new_width / new_height)
    if not 1 / _STRETCH <= stretch <= _STRETCH:
        raise ValueError(
            f"{name} has {height}×{width} pixels, which {new_height}×{new_width} would distort more than {_STRETCH:g} "
            "times: choose a size of like shape, or remove the file."
        )


def _channels(image: np.ndarray, color: bool) -> np.ndarray:
    if color:
        return np.broadcast_to(image, (*image.shape[:2], 3))
    return image if image.shape[-1] == 1 else np.round(image @ _LUMINANCE)[..., None].astype(np.uint8)

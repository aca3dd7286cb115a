"""The fonts CAPTCHAs are written in, found by name in the packages they come with, and their glyphs."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from jaxgen.data.resizing import import_pillow

_MATPLOTLIB = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
)
_CAPTCHA = ("DroidSansMono",)
FONTS = (*_MATPLOTLIB, *_CAPTCHA)
_FILES = (".ttf", ".otf")


class Glyph(NamedTuple):
    """The ink of a character, a grey image cropped to it (None for a gap), and the box it is to fill, in pixels."""

    ink: Any
    width: int
    height: int


@lru_cache(maxsize=64)
def font_file(font: str) -> Path:
    """Return the file of a font: one of `FONTS`, or the path of a .ttf or .otf file.

    Raises:
        ValueError: an unknown name.
        FileNotFoundError: no such file.
        ImportError: the package that the font comes with is not installed.
    """
    if font.lower().endswith(_FILES):
        path = Path(font).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"the font {path} does not exist (looked in {Path.cwd()}).")
        return path
    if font not in FONTS:
        raise ValueError(f"font {font!r} is unknown; expected one of {FONTS}, or the path of a .ttf or .otf file.")
    package, folder = ("captcha", "data") if font in _CAPTCHA else ("matplotlib", "mpl-data/fonts/ttf")
    # Where the package lies, without running it: importing matplotlib takes longer than drawing a thousand images.
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"the font {font!r} comes with the package {package}: pip install {package}")
    path = Path(spec.origin).parent / folder / f"{font}.ttf"
    if not path.is_file():
        raise FileNotFoundError(f"the font {font!r} is not where {package} keeps its fonts, {path}: choose another.")
    return path


@lru_cache(maxsize=4096)
def glyph(font: str, size: int, character: str) -> Glyph:
    """Return the ink of a character in a font of `size` pixels; of a space, the gap it leaves."""
    loaded = _load(font, size)
    right, bottom = loaded.getbbox(character)[2:]
    # One pixel more, as the captcha package measures text that begins at (1, 1).
    box = int(right) + 1, int(bottom) + 1
    ink = _ink(loaded, character)
    return Glyph(None if ink is None else ink.crop(ink.getbbox()), *box)


def check_glyphs(font: str, alphabet: str) -> None:
    """Refuse characters that a font cannot draw, or draws without ink.

    Raises:
        ValueError: there are such characters, or the file is no font.
    """
    loaded = _load(font, 24)
    missing = _ink(loaded, "\U0010ffff")  # what the font draws for a character it does not have
    blank = None if missing is None else (missing.getbbox(), missing.tobytes())
    for character in alphabet:
        ink = _ink(loaded, character)
        if ink is None or (ink.getbbox(), ink.tobytes()) == blank:
            raise ValueError(f"the font {font!r} cannot draw {character!r}: leave it out of the alphabet.")


@lru_cache(maxsize=256)
def _load(font: str, size: int):
    import_pillow()
    from PIL import ImageFont

    file = str(font_file(font))
    try:
        # The basic layout is in every build of Pillow; the other needs a library of the system.
        return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise ValueError(f"{font} is not a readable font ({error}): choose another.") from error


def _ink(loaded, character: str):
    from PIL import Image, ImageDraw

    right, bottom = loaded.getbbox(character)[2:]
    image = Image.new("L", (int(right) + 8, int(bottom) + 8))
    ImageDraw.Draw(image).text((4, 4), character, fill=255, font=loaded)
    return image if image.getbbox() else None

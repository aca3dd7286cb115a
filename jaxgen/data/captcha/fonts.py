"""The fonts of CAPTCHAs, found by name in the packages that ship them, and their glyphs."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from jaxgen.data.resizing import import_pillow

MATPLOTLIB_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
)
_CAPTCHA = ("DroidSansMono",)
FONTS = (*MATPLOTLIB_FONTS, *_CAPTCHA)
_FILES = (".ttf", ".otf")


class Glyph(NamedTuple):
    """The ink of a character, a grey image cropped to it (None for a gap), and the box that it fills, in pixels."""

    ink: Any
    width: int
    height: int


@lru_cache(maxsize=64)
def font_file(font: str) -> Path:
    """Return the file of a font: one of `FONTS`, or the path of a .ttf or .otf file."""
    if font.lower().endswith(_FILES):
        path = Path(font).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"the font {path} does not exist (looked in {Path.cwd()}).")
        return path
    if font not in FONTS:
        raise ValueError(f"font {font!r} is unknown; expected one of {FONTS}, or the path of a .ttf or .otf file.")
    package, folder = ("captcha", "data") if font in _CAPTCHA else ("matplotlib", "mpl-data/fonts/ttf")
    # Locates the package without importing it, as importing matplotlib is slow.
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"the font {font!r} comes with the package {package}: pip install {package}")
    path = Path(spec.origin).parent / folder / f"{font}.ttf"
    if not path.is_file():
        raise FileNotFoundError(f"the font {font!r} is not where {package} keeps its fonts, {path}: choose another.")
    return path


@lru_cache(maxsize=4096)
def glyph(font: str, size: int, character: str) -> Glyph:
    """Return the glyph of a character in a font of `size` pixels; that of a space has no ink."""
    loaded = _load(font, size)
    right, bottom = loaded.getbbox(character)[2:]
    # One pixel more, as in the captcha package, which measures text from (1, 1).
    box = int(right) + 1, int(bottom) + 1
    ink = _ink(loaded, character)
    return Glyph(None if ink is None else ink.crop(ink.getbbox()), *box)


def check_glyphs(font: str, alphabet: str) -> None:
    """Raise a ValueError for characters that a font cannot draw, or a file that is not a font."""
    loaded = _load(font, 24)
    missing = _ink(loaded, "\U0010ffff")  # what the font draws for missing characters
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
        # Every build of Pillow has the basic layout; the other needs a system library.
        return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise ValueError(f"{font} is not a readable font ({error}): choose another.") from error


def _ink(loaded, character: str):
    from PIL import Image, ImageDraw

    right, bottom = loaded.getbbox(character)[2:]
    image = Image.new("L", (int(right) + 8, int(bottom) + 8))
    ImageDraw.Draw(image).text((4, 4), character, fill=255, font=loaded)
    return image if image.getbbox() else None

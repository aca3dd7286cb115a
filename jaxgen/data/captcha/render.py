"""Seeded rendering of CAPTCHAs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32, UInt8

from jaxgen.data.captcha.drawing import DistortedGlyph, draw_ink
from jaxgen.data.captcha.fonts import check_glyphs, glyph
from jaxgen.data.captcha.texts import check_alphabet, encode_texts
from jaxgen.data.dataset import ImageDataset

_MIN_SIDE, _MAX_SIDE = 12, 1024  # pixels
_DRAWN_HEIGHT = 32  # lower images are drawn larger and shrunk, as glyphs of ten pixels cannot be rotated well
_FONT_SIZES = (42 / 60, 50 / 60, 56 / 60)  # as fractions of the height
_LUMINANCE = np.array([0.299, 0.587, 0.114])

# Each purpose has its own random stream, so that an option changes nothing but what it describes.
_TEXT, _FONT, _GAP, _ANGLE, _WARP, _OVERLAP, _COLOUR, _DOTS, _CURVES = range(9)


@dataclass(frozen=True)
class CaptchaStyle:
    """The appearance of CAPTCHAs. The defaults are the size and the noise of the captcha package.

    Attributes:
        alphabet: the characters of the texts; a token is an index into it.
        length: the number of characters in a text, at least 1.
        size: height and width in pixels, each 12 to 1024.
        fonts: names from `jaxgen.data.captcha.fonts.FONTS`, or paths of .ttf or .otf files; each character is drawn in
            a random one. The fonts come with matplotlib, "DroidSansMono" with the captcha package.
        dots: the number of dots, each a twentieth of the height wide, up to 1000.
        curves: the number of arcs across the text, up to 1000.
        rotation: the largest rotation of a character in degrees, 0 to 90.
        warp: the largest displacement of the corners of a character's box, as a fraction of its width; vertically half
            that fraction of its height. 0 to 1.
        gaps: the probability of a gap before a character.
        color: random colours of ink and paper, as RGB, instead of their luminance.

    Raises:
        ValueError: if a value is out of range, a character is repeated or lacking in a font, or a font is unknown.
        FileNotFoundError: if the file of a font does not exist.
        ImportError: if Pillow or the package of a font is not installed.
    """

    alphabet: str = "0123456789"
    length: int = 4
    size: tuple[int, int] = (60, 160)
    fonts: tuple[str, ...] = ("DejaVuSans", "DejaVuSansMono", "DejaVuSerif")
    dots: int = 30
    curves: int = 1
    rotation: float = 30.0
    warp: float = 0.2
    gaps: float = 0.5
    color: bool = False

    def __post_init__(self):
        check_alphabet(self.alphabet)
        if self.length < 1:
            raise ValueError(f"length is {self.length}; expected at least one character.")
        if len(self.size) != 2 or not all(_MIN_SIDE <= side <= _MAX_SIDE for side in self.size):
            raise ValueError(f"size is {self.size}; expected (height, width), each from {_MIN_SIDE} to {_MAX_SIDE}.")
        for name, low, high in (
            *(("dots", 0, 1000), ("curves", 0, 1000)),
            *(("rotation", 0.0, 90.0), ("warp", 0.0, 1.0), ("gaps", 0.0, 1.0)),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}; expected {low} to {high}.")
        if not self.fonts or isinstance(self.fonts, str):
            raise ValueError(f"fonts is {self.fonts!r}; expected a tuple of at least one name.")
        for font in self.fonts:
            check_glyphs(font, self.alphabet)


def render_captchas(
    n: int, style: CaptchaStyle | None = None, seed: int = 0, *, held_out: Collection[str] = ()
) -> ImageDataset:
    """Render CAPTCHAs of random texts.

    Image i depends on the style, the seed and i alone: the first k of n images are those of `n=k`. The drawing follows
    the captcha package (glyphs with gaps and overlaps, rotation and warp, dots, arcs, smoothing), whose own randomness
    cannot be seeded. The exact pixels also depend on the versions of Pillow and of the fonts.

    Args:
        n: the number of images, at least 1.
        style: their appearance; None is `CaptchaStyle()`.
        seed: an integer from 0.
        held_out: texts that are never drawn, as from `held_out_texts`; all others are equally likely.

    Returns:
        Images (n, H, W, 1 or 3), uint8, with tokens (n, L) as labels and the alphabet as their names.

    Raises:
        ValueError: if n < 1, seed < 0, or held-out texts have another length or alphabet or leave no text.
    """
    style = style or CaptchaStyle()
    _check(n, seed)
    return _render(_draw_tokens(n, style, seed, held_out), style, seed)


def render_texts(texts: Sequence[str], style: CaptchaStyle | None = None, seed: int = 0) -> ImageDataset:
    """Render the given texts as `render_captchas` does its random ones.

    Args:
        texts: n ≥ 1 texts of the style's length and alphabet.
        style: their appearance; None is `CaptchaStyle()`.
        seed: an integer from 0.

    Returns:
        Images and tokens, as `render_captchas` returns them.

    Raises:
        ValueError: if there are no texts, one has another length or alphabet than the style's, or seed < 0.
    """
    style = style or CaptchaStyle()
    _check(len(texts), seed)
    tokens = encode_texts(texts, style.alphabet)
    if tokens.shape[1] != style.length:
        raise ValueError(f"texts have {tokens.shape[1]} characters; the style writes {style.length}.")
    return _render(tokens, style, seed)


def _check(n: int, seed: int) -> None:
    if n < 1:
        raise ValueError(f"n is {n}; expected at least one image.")
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected an integer from 0.")


def _uniform(seed: int, stream: int, *shape: int) -> np.ndarray:
    return np.random.default_rng((seed, stream)).random(shape)


def _draw_tokens(n: int, style: CaptchaStyle, seed: int, held_out: Collection[str]) -> Int32[np.ndarray, "n length"]:
    letters, length = len(style.alphabet), style.length
    powers = letters ** np.arange(length, dtype=object)  # texts as integers of any size
    forbidden: set[int] = set()
    if held_out:
        tokens = encode_texts(held_out, style.alphabet)
        if tokens.shape[1] != length:
            raise ValueError(f"held-out texts have {tokens.shape[1]} characters; the style writes {length}.")
        forbidden = set(tokens.astype(object) @ powers)
        if len(forbidden) == letters**length:
            raise ValueError(f"all {letters**length} texts are held out: there is none left to draw.")

    drawn = np.empty((n, length), np.int32)
    again, attempt = np.arange(n), 0
    while len(again):
        # Each attempt draws for all n, so that the text of image i depends on no other.
        uniform = np.random.default_rng((seed, _TEXT, attempt)).random((n, length))
        drawn[again] = (uniform[again] * letters).astype(np.int32)
        numbers = drawn[again].astype(object) @ powers
        again, attempt = again[[number in forbidden for number in numbers]], attempt + 1
    return drawn


def _render(tokens: Int32[np.ndarray, "n length"], style: CaptchaStyle, seed: int) -> ImageDataset:
    n, length = tokens.shape
    height, width = style.size
    shrink = math.ceil(_DRAWN_HEIGHT / height)
    high, wide = height * shrink, width * shrink
    font_sizes = [round(share * high) for share in _FONT_SIZES]

    def glyph_of(character: str, draws: list[float]):
        font, size = (int(draw * len(choices)) for draw, choices in zip(draws, (style.fonts, font_sizes), strict=True))
        return glyph(style.fonts[font], font_sizes[size], character)

    fonts, gaps = _uniform(seed, _FONT, n, length, 2, 2), _uniform(seed, _GAP, n, length) < style.gaps
    angles = style.rotation * (2 * _uniform(seed, _ANGLE, n, length) - 1)
    warps, overlaps = _uniform(seed, _WARP, n, length, 6), _uniform(seed, _OVERLAP, n, length, 2)
    dots = (_uniform(seed, _DOTS, n, style.dots, 2) * (wide + 1, high + 1)).astype(int)
    arcs = _uniform(seed, _CURVES, n, style.curves, 6)

    colours = _colours(_uniform(seed, _COLOUR, n, 2, 3), style.color)
    images = np.empty((n, height, width, colours.shape[-1]), np.uint8)
    for i in range(n):
        glyphs = []
        of_characters = (values[i].tolist() for values in (tokens, fonts, gaps, angles, warps, overlaps))
        for token, font, gap, angle, warp, overlap in zip(*of_characters, strict=True):
            if gap:
                glyphs.append(DistortedGlyph(glyph_of(" ", font[0]), overlap=overlap[0]))
            drawn = glyph_of(style.alphabet[token], font[1])
            corners = _corners(warp, style.warp * drawn.width, style.warp / 2 * drawn.height)
            glyphs.append(DistortedGlyph(drawn, angle, corners, overlap[1]))
        curves = [_curve(draws, wide, high) for draws in arcs[i].tolist()]
        images[i] = colours[i][draw_ink(style.size, glyphs, dots[i].tolist(), curves, shrink)]
    return ImageDataset(images, tokens, tuple(style.alphabet))


def _corners(draws: list[float], across: float, down: float) -> tuple[int, int, int, int]:
    """Displacements (x1, y1, x2, y2) of the corners, within a random part of their maximum."""
    first, second, *rest = draws
    across, down = across * first, down * second
    return tuple(int((2 * draw - 1) * most) for draw, most in zip(rest, (across, down, across, down), strict=True))


def _curve(draws: list[float], width: int, height: int) -> tuple[tuple[int, int, int, int], int, int]:
    """An arc of an ellipse that begins in the left fifth of the image, as (box, start, end)."""

    x1, x2, y1, y2, end, start = draws
    left = int(x1 * (width // 5 + 1))
    right = int(x2 * (width - width // 5 + 1)) + width // 5
    top = int(y1 * (height - 2 * (height // 5) + 1)) + height // 5
    bottom = int(y2 * (height - top - height // 5 + 1)) + top
    return (left, top, right, bottom), int(start * 21), int(end * 41) + 160


def _colours(draws: Float64[np.ndarray, "n 2 3"], color: bool) -> UInt8[np.ndarray, "n 256 c"]:
    """The colour of each amount of ink, from paper at 0 to ink at 255."""
    # Darker ink than the package's, which goes to 200: some of its texts are almost invisible.
    paper, inks = 238 + (draws[:, 0] * 18).astype(int), 10 + (draws[:, 1] * 151).astype(int)
    if not color:
        paper, inks = (paper @ _LUMINANCE)[:, None], (inks @ _LUMINANCE)[:, None]
    amount = np.arange(256)[:, None] / 255
    return np.round(paper[:, None] + (inks - paper)[:, None] * amount).astype(np.uint8)

"""Seeded rendering of CAPTCHAs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from jaxtyping import Float64, Int32, UInt8

from jaxgen.data.captcha.drawing import DistortedGlyph, draw_ink
from jaxgen.data.captcha.fonts import check_glyphs, glyph
from jaxgen.data.captcha.texts import check_alphabet, encode_texts
from jaxgen.data.dataset import ImageDataset

_SMALLEST, _LARGEST = 12, 1024  # sides in pixels: what can be read, and what is no CAPTCHA any more
_DRAWN_HEIGHT = 32  # lower pictures are drawn larger and shrunk: glyphs of ten pixels cannot be turned
_FONT_SIZES = (42 / 60, 50 / 60, 56 / 60)  # of the height
_LUMINANCE = np.array([0.299, 0.587, 0.114])

# Every purpose draws from a stream of its own, so that an option changes what it says and nothing else.
_TEXT, _FONT, _GAP, _ANGLE, _WARP, _OVERLAP, _COLOUR, _DOTS, _CURVES = range(9)


@dataclass(frozen=True)
class CaptchaStyle:
    """What CAPTCHAs look like; the noise of the captcha package by default, at its size.

    Attributes:
        alphabet: the characters that texts are made of; a token is a position in it.
        length: characters in a text.
        size: height and width in pixels, each 12 to 1024.
        fonts: names out of `jaxgen.data.captcha.fonts.FONTS`, or paths of .ttf or .otf files; each character has one of
            them. The names come with matplotlib, "DroidSansMono" with the captcha package.
        dots: how many dots, each a twentieth of the height.
        curves: how many arcs across the text.
        rotation: the most that a character is turned, in degrees up to 90.
        warp: how far the corners of a character's box may go, as a fraction of its width, and half that of its height.
        gaps: the probability of a gap before a character; 0 puts texts where they are expected.
        colour: random ink on random paper as RGB, else the luminance of that, one channel.

    Raises:
        ValueError: values out of range, characters named twice or not in a font, or unknown fonts.
        FileNotFoundError, ImportError: a font that is not there.
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
    colour: bool = False

    def __post_init__(self):
        check_alphabet(self.alphabet)
        if self.length < 1:
            raise ValueError(f"length is {self.length}; expected at least one character.")
        if len(self.size) != 2 or not all(_SMALLEST <= side <= _LARGEST for side in self.size):
            raise ValueError(f"size is {self.size}; expected (height, width), each from {_SMALLEST} to {_LARGEST}.")
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
    """Render `n` CAPTCHAs of random texts: uint8 (n, H, W, 1 or 3), tokens (n, L) as labels, the alphabet as names.

    Image i depends on (seed, i) and the style alone: the first k of n are those of k. The drawing follows the captcha
    package (text from left to right with gaps and overlaps, characters turned and warped, dots, arcs, smoothing), whose
    own randomness cannot be seeded. The bits also depend on the versions of Pillow and of the fonts.

    Args:
        n: how many.
        style: what they look like; None is `CaptchaStyle()`.
        seed: any integer from 0.
        held_out: texts never drawn (`held_out_texts` chooses some); the others stay equally likely.

    Raises:
        ValueError: n below 1, a negative seed, or held-out texts that the style does not write or that leave none.
    """
    style = style or CaptchaStyle()
    _check(n, seed)
    return _render(_draw_tokens(n, style, seed, held_out), style, seed)


def render_texts(texts: Sequence[str], style: CaptchaStyle | None = None, seed: int = 0) -> ImageDataset:
    """Render the given texts, as `render_captchas` would have if it had drawn them.

    Raises:
        ValueError: no texts, texts that the style does not write, or a negative seed.
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
    powers = letters ** np.arange(length, dtype=object)  # texts as numbers, of any size
    forbidden: set[int] = set()
    if held_out:
        tokens = encode_texts(held_out, style.alphabet)
        if tokens.shape[1] != length:
            raise ValueError(f"held-out texts have {tokens.shape[1]} characters; the style writes {length}.")
        forbidden = set(tokens.astype(object) @ powers)
        if len(forbidden) == letters**length:
            raise ValueError(f"all {letters**length} texts are held out: there is none left to draw.")

    drawn = np.empty((n, length), np.int32)
    again = np.arange(n)
    for attempt in count():
        # Each attempt draws for all n, and keeps what is asked for: image i's text hangs on no other's.
        uniform = np.random.default_rng((seed, _TEXT, attempt)).random((n, length))
        drawn[again] = (uniform[again] * letters).astype(np.int32)
        if forbidden:
            again = again[[number in forbidden for number in drawn[again].astype(object) @ powers]]
        if not forbidden or not len(again):
            return drawn
    raise AssertionError("unreachable")


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

    colours = _colours(_uniform(seed, _COLOUR, n, 2, 3), style.colour)
    images = np.empty((n, height, width, colours.shape[-1]), np.uint8)
    for i in range(n):
        pieces = []
        of_characters = (values[i].tolist() for values in (tokens, fonts, gaps, angles, warps, overlaps))
        for token, font, gap, angle, warp, overlap in zip(*of_characters, strict=True):
            if gap:
                pieces.append(DistortedGlyph(glyph_of(" ", font[0]), overlap=overlap[0]))
            drawn = glyph_of(style.alphabet[token], font[1])
            corners = _corners(warp, style.warp * drawn.width, style.warp / 2 * drawn.height)
            pieces.append(DistortedGlyph(drawn, angle, corners, overlap[1]))
        curves = [_curve(draws, wide, high) for draws in arcs[i].tolist()]
        images[i] = colours[i][draw_ink(style.size, pieces, dots[i].tolist(), curves, shrink)]
    return ImageDataset(images, tokens, tuple(style.alphabet))


def _corners(draws: list[float], across: float, down: float) -> tuple[int, int, int, int]:
    """How far the corners go, (x1, y1, x2, y2): at most a random part of what they may."""
    first, second, *rest = draws
    across, down = across * first, down * second
    return tuple(int((2 * draw - 1) * most) for draw, most in zip(rest, (across, down, across, down), strict=True))


def _curve(draws: list[float], width: int, height: int) -> tuple[tuple[int, int, int, int], int, int]:
    """An arc of an ellipse that begins at the left fifth and ends to its right, as (box, start, end)."""

    def below(draw: float, bound: int) -> int:
        return int(draw * bound)

    x1, x2, y1, y2, end, start = draws
    left = below(x1, width // 5 + 1)
    right = below(x2, width - width // 5 + 1) + width // 5
    top = below(y1, height - 2 * (height // 5) + 1) + height // 5
    bottom = below(y2, height - top - height // 5 + 1) + top
    return (left, top, right, bottom), below(start, 21), below(end, 41) + 160


def _colours(draws: Float64[np.ndarray, "n 2 3"], colour: bool) -> UInt8[np.ndarray, "n 256 c"]:
    """What each amount of ink looks like: from paper, at 0, to ink, at 255."""
    # Ink is darker than the package's, which goes to 200: some of its texts can hardly be told from the paper.
    paper, inks = 238 + (draws[:, 0] * 18).astype(int), 10 + (draws[:, 1] * 151).astype(int)
    if not colour:
        paper, inks = (paper @ _LUMINANCE)[:, None], (inks @ _LUMINANCE)[:, None]
    amount = np.arange(256)[:, None] / 255
    return np.round(paper[:, None] + (inks - paper)[:, None] * amount).astype(np.uint8)

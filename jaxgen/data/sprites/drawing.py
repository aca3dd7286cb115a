"""Pixel art as text: how drawings are written, and how layers of them make up a kind of sprite."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

SIDE = 16

# An ink is a number: 0 is nothing, the other fixed inks follow, then each letter's material in three tones.
FIXED_INKS = ".#oe_"
SHADE, PLAIN, LIGHT = range(3)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
NUM_INKS = len(FIXED_INKS) + 3 * len(LETTERS)


def ink(letter: str, tone: int = SHADE) -> int:
    """Return the ink of a material, named by a lower-case letter, in one of its tones."""
    return len(FIXED_INKS) + 3 * LETTERS.index(letter) + tone


def draw(text: str, row: int = 0) -> np.ndarray:
    """Turn text into inks, (16, 16) uint8, with the first line on row `row`.

    A line holds 16 characters, or the left 8 of a symmetric drawing. `.` is nothing, `#` the outline, `o` white, `e` an
    eye's black, and `_` rubs out. A letter is a material, upper-case in shade. `+` is the light tone of the material to
    its right, or else to its left, or else below.

    Raises:
        ValueError: a line of another length.
    """
    lines = textwrap.dedent(text).strip("\n").splitlines()
    if bad := [line for line in lines if len(line) not in (SIDE // 2, SIDE)]:
        raise ValueError(f"the drawing has lines of other lengths than {SIDE // 2} and {SIDE}: {bad}")
    drawing = np.zeros((SIDE, SIDE), np.uint8)
    for y, line in enumerate(lines):
        below = "".join(lines[y + 1 :] + lines)
        inks = [_parse(line, x, below) for x in range(len(line))]
        drawing[row + y] = inks + inks[::-1] if len(inks) < SIDE else inks
    return drawing


def _parse(line: str, x: int, below: str) -> int:
    char = line[x]
    if char in FIXED_INKS:
        return FIXED_INKS.index(char)
    if char == "+":
        nearest = next(c for c in line[x:] + line[x::-1] + below if c not in FIXED_INKS + "+")
        return ink(nearest.lower(), LIGHT)
    return ink(char.lower(), SHADE if char.isupper() else PLAIN)


NOTHING = draw("")


class Scatter(NamedTuple):
    """A layer of which every sprite keeps a random half of the pixels, such as sparks or sprinkles."""

    dots: np.ndarray


class Kind(NamedTuple):
    """One kind of sprite: layers from back to front, each a choice of drawings (a repeated one is likelier)."""

    layers: tuple[tuple[np.ndarray, ...] | Scatter, ...]
    colours: Mapping[str, tuple[str, ...]] = MappingProxyType({})  # of materials, where they are not the usual ones
    flips: bool = False  # may face either way
    weight: float = 1.0  # how often it comes among its class

    def materials(self) -> list[str]:
        """Return the letters of the materials in its drawings."""
        inks = np.unique(np.concatenate([np.stack(layer) for layer in self.layers]))
        return [letter for letter in LETTERS if np.isin(ink(letter) + np.arange(3), inks).any()]

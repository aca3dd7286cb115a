"""Sprite sheets: text files in `sheets/` that hold pixel art and say how it is combined into sprites.

A sheet is a sequence of lines. Blank lines and lines that begin with `;` are skipped. Its statements are

    palette NAME COLOUR...      A named list of colours.
    drawing NAME [@ROW]         A drawing; its rows of pixels follow, the first on row ROW (0 if omitted).
    sprite NAME                 A template for sprites; the statements below it, in any number, describe it.
    layer DRAWING...            One of these drawings is chosen at random. Layers go from back to front.
    dropout DRAWING             A layer of which each pixel is kept with probability 1/2.
    colours LETTER COLOUR...    The colours of a material, where they are not those of `palette.MATERIALS`.
    flips                       The sprite may be mirrored.
    weight NUMBER               Relative frequency among the templates of its class (1 if omitted).

A colour is six hexadecimal digits, or the name of a palette above. `none` is the empty drawing. A drawing that is named
twice in a layer is twice as likely. Drawings of one name are alternatives: a layer that names one offers all.
`NAME@ROW` moves drawings to start on row ROW.

A row of pixels has 16 characters, or 8 for the left half of a symmetric drawing:

    .           transparent             #    outline        o    white
    e           black, for eyes         _    erases the layers behind it
    a to z      a material              A to Z    its shade
    +           the light tone of the nearest material: on the right, else on the left, else below
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jaxgen.data.sprites.palette import MATERIALS

SIDE = 16

# An ink is an index: the fixed inks come first, then three tones of each letter's material.
FIXED_INKS = ".#oe_"
SHADE, PLAIN, LIGHT = range(3)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
NUM_INKS = len(FIXED_INKS) + 3 * len(LETTERS)

Drawings = tuple[np.ndarray, ...]  # alternatives, each (16, 16) uint8, of inks


class Layer(NamedTuple):
    """Drawings of which one is chosen; with `dropout`, each of its pixels is kept with probability 1/2."""

    drawings: Drawings
    dropout: bool = False


class SpriteTemplate(NamedTuple):
    """What sprites of one sort have in common: layers from back to front, and the colours of materials."""

    layers: tuple[Layer, ...]
    colours: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    flips: bool = False
    weight: float = 1.0

    def materials(self) -> list[str]:
        """Return the letters of the materials in its drawings."""
        inks = np.unique(np.concatenate([np.stack(layer.drawings) for layer in self.layers]))
        return [letter for letter in LETTERS if np.isin(ink(letter) + np.arange(3), inks).any()]


def ink(letter: str, tone: int = SHADE) -> int:
    """Return the ink of a material, named by a lower-case letter, in one of its tones."""
    return len(FIXED_INKS) + 3 * LETTERS.index(letter) + tone


def read_sheet(name: str, drawings: Mapping[str, Drawings] = MappingProxyType({})) -> tuple[SpriteTemplate, ...]:
    """Read a sheet of this package, which may use `drawings` besides its own; raises as `parse_sheet` does."""
    file = resources.files("jaxgen.data.sprites") / "sheets" / f"{name}.txt"
    return parse_sheet(file.read_text("utf-8"), file.name, drawings)


def parse_sheet(
    text: str, source: str, drawings: Mapping[str, Drawings] = MappingProxyType({})
) -> tuple[SpriteTemplate, ...]:
    """Parse a sheet, in the format that the docstring of this module describes.

    Args:
        text: the sheet.
        source: its name in error messages.
        drawings: further drawings that its layers may name.

    Raises:
        ValueError: if a statement, colour or drawing is unknown, or rows of pixels do not fit. The message says where.
    """
    statements = []  # line number, words, rows of pixels below
    for number, line in enumerate(text.splitlines(), 1):
        if statements and statements[-1][1][0] == "drawing" and re.fullmatch(r"[.#oe_a-zA-Z+]+", line):
            statements[-1][2].append(line)
        elif line.strip() and not line.startswith(";"):
            statements.append((number, line.split(), []))

    own: dict[str, list[tuple[int, list[str]]]] = {}  # by name: the first row and the rows of pixels of each drawing
    palettes: dict[str, tuple[str, ...]] = {}
    templates: list[SpriteTemplate] = []

    def colours_of(words: list[str]) -> tuple[str, ...]:
        if bad := [word for word in words if word not in palettes and not re.fullmatch("[0-9a-f]{6}", word)]:
            raise ValueError(f"{bad[0]!r} is neither a colour of six hexadecimal digits nor a palette above.")
        return tuple(colour for word in words for colour in palettes.get(word, (word,)))

    def drawings_of(word: str) -> Drawings:
        name, at, row = word.partition("@")
        if name in own:
            return tuple(draw(pixels, int(row) if at else first) for first, pixels in own[name])
        if word not in drawings and word != "none":
            raise ValueError(f"there is no drawing {word!r} in this sheet.")
        return drawings[word] if word in drawings else (draw([]),)

    # Drawings are read first, because a sprite may use drawings that stand below it in the sheet.
    for number, words, pixels in sorted(statements, key=lambda statement: statement[1][0] != "drawing"):
        template = templates[-1] if templates else None
        try:
            match words:
                case ["drawing", name, *at] if len(at) <= 1:
                    first = int(at[0].removeprefix("@")) if at else 0
                    draw(pixels, first)
                    own.setdefault(name, []).append((first, pixels))
                case ["palette", name, *colours] if colours:
                    palettes[name] = colours_of(colours)
                case ["sprite", _]:
                    templates.append(SpriteTemplate(()))
                case ["layer", *names] if names and template:
                    layer = Layer(tuple(drawing for name in names for drawing in drawings_of(name)))
                    templates[-1] = template._replace(layers=(*template.layers, layer))
                case ["dropout", name] if template:
                    layer = Layer(drawings_of(name), dropout=True)
                    if len(layer.drawings) > 1:
                        raise ValueError(f"there are {len(layer.drawings)} drawings {name!r}; dropout takes one.")
                    templates[-1] = template._replace(layers=(*template.layers, layer))
                case ["colours", letter, *colours] if colours and template and letter in LETTERS:
                    templates[-1] = template._replace(colours={**template.colours, letter: colours_of(colours)})
                case ["flips"] if template:
                    templates[-1] = template._replace(flips=True)
                case ["weight", weight] if template:
                    templates[-1] = template._replace(weight=float(weight))
                case _:
                    raise ValueError(f"{' '.join(words)!r} is no statement, or has no sprite above it.")
        except ValueError as error:
            raise ValueError(f"{source}, line {number}: {error}") from error
    if not all(template.layers for template in templates):
        raise ValueError(f"{source} has a sprite without layers.")
    if bad := {
        letter for template in templates for letter in set(template.materials()) - {*MATERIALS, *template.colours}
    }:
        raise ValueError(f"{source} has no colours for the materials {sorted(bad)}.")
    return tuple(templates)


def draw(pixels: list[str], row: int = 0) -> np.ndarray:
    """Turn rows of characters into inks, (16, 16) uint8, the first on row `row`.

    Raises:
        ValueError: if rows are neither 8 nor 16 characters wide, or reach beyond the last row.
    """
    if bad := [line for line in pixels if len(line) not in (SIDE // 2, SIDE)]:
        raise ValueError(f"the row of pixels {bad[0]!r} has {len(bad[0])} characters; expected {SIDE // 2} or {SIDE}.")
    if not 0 <= row <= row + len(pixels) <= SIDE:
        raise ValueError(f"{len(pixels)} rows of pixels from row {row} do not fit on {SIDE} rows.")
    drawing = np.zeros((SIDE, SIDE), np.uint8)
    for y, line in enumerate(pixels):
        below = "".join(pixels[y + 1 :] + pixels)
        inks = [_ink_at(line, x, below) for x in range(len(line))]
        drawing[row + y] = inks + inks[::-1] if len(inks) < SIDE else inks
    return drawing


def _ink_at(line: str, x: int, below: str) -> int:
    char = line[x]
    if char in FIXED_INKS:
        return FIXED_INKS.index(char)
    if char == "+":
        nearest = next((c for c in line[x:] + line[x::-1] + below if c not in FIXED_INKS + "+"), None)
        if nearest is None:
            raise ValueError("the drawing has a '+' but no material.")
        return ink(nearest.lower(), LIGHT)
    return ink(char.lower(), SHADE if char.isupper() else PLAIN)

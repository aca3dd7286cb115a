"""Seeded rendering of sprites, in batches."""

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, UInt8

from jaxgen.data.dataset import ImageDataset
from jaxgen.data.sprites.palette import FIXED_COLOURS, MATERIALS, ramps, rgb
from jaxgen.data.sprites.sheet import NUM_INKS, SIDE, SpriteTemplate, ink, read_sheet
from jaxgen.data.sprites.spell_shapes import SPELL_SHAPES

_CLASSES = {"hero": "heroes", "non-hero": "monsters", "food": "food", "spell": "spells", "side-facing": "side_facing"}
_DRAWS = 64  # random numbers per sprite, more than any template uses
_JITTER = 0.05  # largest relative deviation of a colour from its palette


def render_sprites(n: int, seed: int = 0, size: int = SIDE) -> ImageDataset:
    """Render pixel-art sprites on white in five classes: hero, non-hero, food, spell and side-facing.

    Sprite i depends on `seed` and i alone: the first k of n sprites are those of `render_sprites(k, seed)`.

    Args:
        n: number of sprites, at least 1; sprite i is of class i mod 5.
        seed: an integer from 0.
        size: height and width in pixels, a multiple of 16; larger sizes repeat pixels.

    Returns:
        Images (n, size, size, 3), uint8 RGB, with the class of each as its label.

    Raises:
        ValueError: if n < 1, seed < 0, or size is no positive multiple of 16.
    """
    if n < 1:
        raise ValueError(f"n is {n}; expected at least one sprite.")
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected an integer from 0.")
    if size < SIDE or size % SIDE:
        raise ValueError(f"size is {size}; sprites are drawn on {SIDE}×{SIDE} pixels: use a multiple of {SIDE}.")
    draws = np.random.default_rng(seed).random((n, _DRAWS))
    labels = np.arange(n, dtype=np.int32) % len(_CLASSES)
    images = np.empty((n, SIDE, SIDE, 3), np.uint8)
    for label, templates in enumerate(sprite_templates().values()):
        members = np.flatnonzero(labels == label)
        shares = np.cumsum([template.weight for template in templates])
        chosen = np.searchsorted(shares / shares[-1], draws[members, 0], side="right")
        for index, template in enumerate(templates):
            own = members[chosen == index]
            images[own] = render_template(template, draws[own, 1:])
    repeats = size // SIDE
    return ImageDataset(images.repeat(repeats, axis=1).repeat(repeats, axis=2), labels, tuple(_CLASSES))


@functools.cache
def sprite_templates() -> dict[str, tuple[SpriteTemplate, ...]]:
    """Return the templates of each class, read from the sheets on the first call."""
    return {name: read_sheet(sheet, SPELL_SHAPES) for name, sheet in _CLASSES.items()}


def render_template(template: SpriteTemplate, draws: Float64[np.ndarray, "n draws"]) -> UInt8[np.ndarray, "n 16 16 3"]:
    """Render a sprite of a template for each row of uniform random numbers in [0, 1)."""
    columns = iter(draws.T)
    inks = np.zeros((len(draws), SIDE, SIDE), np.uint8)
    for layer in template.layers:
        drawings = np.stack(layer.drawings)
        drawn = _drop_pixels(drawings[0], next(columns)) if layer.dropout else _choose(drawings, next(columns))
        inks = np.where(drawn, drawn, inks)
    if template.flips:
        inks = np.where((next(columns) < 0.5)[:, None, None], inks[:, :, ::-1], inks)
    colours = _colours(template, columns, len(draws))
    return colours[np.arange(len(draws))[:, None, None], inks]


def _choose(options: np.ndarray, draw: np.ndarray) -> np.ndarray:
    return options[(draw * len(options)).astype(int)]


def _drop_pixels(drawing: np.ndarray, draw: np.ndarray) -> np.ndarray:
    # Pixel i is kept where binary digit i of the random number is 1.
    rows, columns = np.nonzero(drawing)
    digits = (draw[:, None] * 2.0 ** np.arange(1, len(rows) + 1)).astype(np.int64) % 2
    drawn = np.zeros((len(draw), SIDE, SIDE), np.uint8)
    drawn[:, rows, columns] = digits * drawing[rows, columns]
    return drawn


def _colours(template: SpriteTemplate, columns: Iterator[np.ndarray], n: int) -> np.ndarray:
    colours = np.zeros((n, NUM_INKS, 3), np.uint8)
    colours[:, : len(FIXED_COLOURS)] = rgb(FIXED_COLOURS)
    for letter in template.materials():
        base = _choose(rgb(template.colours.get(letter) or MATERIALS[letter]), next(columns))
        jitter = np.stack([next(columns) for _ in range(3)], axis=1)
        base = np.clip(base * (1.0 + _JITTER * (2.0 * jitter - 1.0)), 0.0, 255.0)
        colours[:, ink(letter) : ink(letter) + 3] = np.round(ramps(base))
    return colours

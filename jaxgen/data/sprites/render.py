"""Seeded rendering of sprites, whole batches at a time."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, UInt8

from jaxgen.data.dataset import ImageDataset
from jaxgen.data.sprites.drawing import NUM_INKS, SIDE, Kind, Scatter, ink
from jaxgen.data.sprites.food import FOOD
from jaxgen.data.sprites.heroes import HEROES
from jaxgen.data.sprites.monsters import MONSTERS
from jaxgen.data.sprites.palette import FIXED_COLOURS, MATERIALS, ramps, rgb
from jaxgen.data.sprites.side_facing import SIDE_FACING
from jaxgen.data.sprites.spells import SPELLS

CLASSES: dict[str, tuple[Kind, ...]] = {
    "hero": HEROES,
    "non-hero": MONSTERS,
    "food": FOOD,
    "spell": SPELLS,
    "side-facing": SIDE_FACING,
}

_DRAWS = 64  # random numbers for a sprite, more than any kind uses
_JITTER = 0.05  # how far a colour strays from its palette, as a fraction


def render_sprites(n: int, seed: int = 0, size: int = SIDE) -> ImageDataset:
    """Render `n` pixel-art sprites, uint8 RGB (n, size, size, 3) on white, in five classes that take turns.

    The classes are hero, non-hero, food, spell and side-facing, as in the sprites course. Sprites depend on the seed
    and their index alone: the first k of n are those of `render_sprites(k, seed)`.

    Args:
        n: how many; sprite i is of class i mod 5.
        seed: any integer from 0.
        size: height and width in pixels, a multiple of 16; larger ones repeat pixels.

    Raises:
        ValueError: n below 1, a negative seed, or a size that is no multiple of 16.
    """
    if n < 1:
        raise ValueError(f"n is {n}; expected at least one sprite.")
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected an integer from 0.")
    if size < SIDE or size % SIDE:
        raise ValueError(f"size is {size}; sprites are drawn on {SIDE}×{SIDE} pixels: use a multiple of {SIDE}.")
    draws = np.random.default_rng(seed).random((n, _DRAWS))
    labels = np.arange(n, dtype=np.int32) % len(CLASSES)
    images = np.empty((n, SIDE, SIDE, 3), np.uint8)
    for label, kinds in enumerate(CLASSES.values()):
        members = np.flatnonzero(labels == label)
        shares = np.cumsum([kind.weight for kind in kinds])
        chosen = np.searchsorted(shares / shares[-1], draws[members, 0], side="right")
        for index, kind in enumerate(kinds):
            own = members[chosen == index]
            images[own] = render_kind(kind, draws[own, 1:])
    repeats = size // SIDE
    return ImageDataset(images.repeat(repeats, axis=1).repeat(repeats, axis=2), labels, tuple(CLASSES))


def render_kind(kind: Kind, draws: Float64[np.ndarray, "n draws"]) -> UInt8[np.ndarray, "n 16 16 3"]:
    """Render one sprite of a kind for each row of uniform random numbers in [0, 1)."""
    columns = iter(draws.T)
    inks = np.zeros((len(draws), SIDE, SIDE), np.uint8)
    for layer in kind.layers:
        drawn = _scatter(layer, next(columns)) if isinstance(layer, Scatter) else _choose(layer, next(columns))
        inks = np.where(drawn, drawn, inks)
    if kind.flips:
        inks = np.where((next(columns) < 0.5)[:, None, None], inks[:, :, ::-1], inks)
    colours = _colours(kind, columns, len(draws))
    return colours[np.arange(len(draws))[:, None, None], inks]


def _choose(options: tuple[np.ndarray, ...], draw: np.ndarray) -> np.ndarray:
    return np.stack(options)[(draw * len(options)).astype(int)]


def _scatter(layer: Scatter, draw: np.ndarray) -> np.ndarray:
    # The binary digits of one random number say which of the dots stay.
    rows, columns = np.nonzero(layer.dots)
    digits = (draw[:, None] * 2.0 ** np.arange(1, len(rows) + 1)).astype(np.int64) % 2
    drawn = np.zeros((len(draw), SIDE, SIDE), np.uint8)
    drawn[:, rows, columns] = digits * layer.dots[rows, columns]
    return drawn


def _colours(kind: Kind, columns: Iterator[np.ndarray], n: int) -> np.ndarray:
    colours = np.zeros((n, NUM_INKS, 3), np.uint8)
    colours[:, : len(FIXED_COLOURS)] = rgb(FIXED_COLOURS)
    for letter in kind.materials():
        base = _choose(tuple(rgb(kind.colours.get(letter) or MATERIALS[letter])), next(columns))
        jitter = np.stack([next(columns) for _ in range(3)], axis=1)
        base = np.clip(base * (1.0 + _JITTER * (2.0 * jitter - 1.0)), 0.0, 255.0)
        colours[:, ink(letter) : ink(letter) + 3] = np.round(ramps(base))
    return colours

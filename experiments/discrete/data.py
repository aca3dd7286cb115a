"""Sprites as palette indices, digits as bits, text as 27 symbols, and a law that can be enumerated."""

import itertools
from typing import NamedTuple

import numpy as np

from experiments.discrete.config import Config
from experiments.kit.launch import reading_data
from jaxgen import data

HELD_OUT = 0.1
BLOCK = 100  # windows of text that are held out together
TOY_LENGTH, TOY_CATEGORIES = 4, 4


class Tokens(NamedTuple):
    """Data of one kind.

    Attributes:
        train: training examples (n, *event), int32.
        held_out: examples that no model sees.
        categories: number K of categories.
        palette: colours (K, 3) of images, None for text.
    """

    train: np.ndarray
    held_out: np.ndarray
    categories: int
    palette: np.ndarray | None


def load(config: Config) -> dict[str, Tokens]:
    """All three kinds of data."""
    with reading_data():
        sprites = data.render_sprites(config.images, config.seed).images
        palette = data.fit_palette(sprites, config.colours, config.seed)
        digits = data.binarise(data.render_digits(config.digits, 16, config.seed).images)
        symbols = data.encode_symbols(data.documentation_text())
        found = {
            "sprites": _split(data.to_palette(sprites, palette), palette, config),
            "digits": _split(digits, np.array([[0] * 3, [255] * 3], np.uint8), config),
            "text": _text(data.text_windows(symbols, config.length)),
        }
    for name, tokens in found.items():
        if len(tokens.train) < config.batch_size or len(tokens.held_out) < 2:
            raise ValueError(f"too few {name} for a batch of {config.batch_size} and held-out examples")
        print(f"{name}: {len(tokens.train)} training and {len(tokens.held_out)} held-out examples")
    return found


def _split(indices: np.ndarray, palette: np.ndarray, config: Config) -> Tokens:
    """Split by content, so that equal images are on one side."""
    shuffled = indices[np.random.default_rng(config.seed).permutation(len(indices))]
    parts = data.split_by_content(data.ImageDataset(shuffled[..., None].astype(np.uint8)), HELD_OUT, config.seed)
    train, held_out = (part.images[..., 0].astype(np.int32) for part in parts)
    return Tokens(train, held_out, len(palette), palette)


def _text(windows: np.ndarray) -> Tokens:
    """Hold out every tenth block of windows, in one order for all runs."""
    held_out = np.arange(len(windows)) // BLOCK % round(1 / HELD_OUT) == 0
    mixed = np.random.default_rng(0).permutation(int(held_out.sum()))
    return Tokens(windows[~held_out], windows[held_out][mixed], len(data.SYMBOLS), None)


class Toy(NamedTuple):
    """A law of four tokens of four categories: all sequences x (256, 4) and their probabilities p."""

    x: np.ndarray
    p: np.ndarray

    @property
    def bits_per_token(self) -> float:
        """The entropy in bits per token, below which no model comes."""
        return float(-(self.p * np.log2(self.p)).sum() / TOY_LENGTH)

    @property
    def bits_of_marginals(self) -> float:
        """The bits per token of the product of marginals."""
        marginals = [np.bincount(self.x[:, i], self.p, TOY_CATEGORIES) for i in range(TOY_LENGTH)]
        return float(-sum((law * np.log2(law)).sum() for law in marginals) / TOY_LENGTH)

    def draw(self, n: int, seed: int) -> np.ndarray:
        """Draw n sequences."""
        return self.x[np.random.default_rng(seed).choice(len(self.x), n, p=self.p)]


def toy() -> Toy:
    """Neighbours are alike, as in images, and each sequence has a random weight beside."""
    x = np.array(list(itertools.product(range(TOY_CATEGORIES), repeat=TOY_LENGTH)), np.int32)
    log_p = -1.2 * np.abs(np.diff(x, axis=1)).sum(1) + np.random.default_rng(0).normal(0, 0.7, len(x))
    p = np.exp(log_p)
    return Toy(x, p / p.sum())

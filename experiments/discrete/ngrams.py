"""Smoothed n-gram models, of text and of images, as a baseline."""

from typing import NamedTuple

import numpy as np

from jaxgen.metrics import MeanAndError, mean_and_error

# Where the context of a pixel lies, the most telling first: its left, upper, upper right and upper left neighbours.
NEIGHBOURS = ((0, -1), (-1, 0), (-1, 1), (-1, -1))


class NGrams(NamedTuple):
    """Counts of contexts of each length, smoothed by Witten and Bell.

    Attributes:
        categories: number K of categories.
        counts: for each length, the sorted codes of contexts that occur and their counts (m, K).
    """

    categories: int
    counts: list[tuple[np.ndarray, np.ndarray]]

    def probabilities(self, context: np.ndarray) -> np.ndarray:
        """The law of a token after each context (n, length), (n, K)."""
        law = np.full((len(context), self.categories), 1 / self.categories)
        for length, (codes, counts) in enumerate(self.counts):
            code = _code(context[:, :length], self.categories)
            place = np.clip(np.searchsorted(codes, code), 0, len(codes) - 1)
            found = np.where((codes[place] == code)[:, None], counts[place], 0)
            kinds = np.maximum((found > 0).sum(1, keepdims=True), 1)
            law = (found + kinds * law) / (found.sum(1, keepdims=True) + kinds)
        return law

    def bits_per_token(self, x: np.ndarray) -> MeanAndError:
        """The bits per token of examples, with the standard error over them."""
        context, token = contexts(x, len(self.counts) - 1, self.categories)
        chosen = self.probabilities(context)[np.arange(len(token)), token]
        return mean_and_error(-np.log2(chosen).reshape(len(x), -1).mean(1))

    def draw(self, n: int, length: int, seed: int) -> np.ndarray:
        """Draw n texts (n, length)."""
        rng, order = np.random.default_rng(seed), len(self.counts) - 1
        x = np.full((n, order + length), self.categories)
        for place in range(order, order + length):
            law = self.probabilities(x[:, place - order : place][:, ::-1])
            x[:, place] = np.minimum((law.cumsum(1) < rng.random((n, 1))).sum(1), self.categories - 1)
        return x[:, order:]


def fit(x: np.ndarray, longest: int, categories: int) -> NGrams:
    """Count contexts of 0 to `longest` tokens in examples (n, length) or (n, h, w)."""
    context, token = contexts(x, longest, categories)
    counts = []
    for length in range(longest + 1):
        codes, place = np.unique(_code(context[:, :length], categories), return_inverse=True)
        flat = np.bincount(place.reshape(-1) * categories + token, minlength=len(codes) * categories)
        counts.append((codes, flat.reshape(-1, categories)))
    return NGrams(categories, counts)


def contexts(x: np.ndarray, longest: int, categories: int) -> tuple[np.ndarray, np.ndarray]:
    """The context (n · tokens, longest) of every token and the tokens; K stands for what lies outside."""
    offsets = [(-back,) for back in range(1, longest + 1)] if x.ndim == 2 else NEIGHBOURS[:longest]
    margin = max(longest, 1)
    padded = np.pad(x, [(0, 0), *[(margin, margin)] * (x.ndim - 1)], constant_values=categories)
    shifted = [
        padded[
            (slice(None), *(slice(margin + o, margin + o + side) for o, side in zip(offset, x.shape[1:], strict=True)))
        ]
        for offset in offsets
    ]
    context = np.stack([part.reshape(-1) for part in shifted], 1) if shifted else np.zeros((x.size, 0), int)
    return context, x.reshape(-1)


def _code(context: np.ndarray, categories: int) -> np.ndarray:
    return context.astype(np.int64) @ (categories + 1) ** np.arange(context.shape[1], dtype=np.int64)

"""Images as tokens: indices of a palette, and bits."""

import numpy as np
from jaxtyping import Int32, UInt8

_WEIGHTS = np.array([0.299, 0.587, 0.114])  # of red, green and blue in brightness
_ITERATIONS = 30


def fit_palette(images: UInt8[np.ndarray, "n h w c"], colours: int, seed: int = 0) -> UInt8[np.ndarray, "k c"]:
    """Choose the colours of a palette by k-means over all pixels, from the darkest to the brightest.

    Args:
        images: uint8 images.
        colours: number of colours, 2 to 256.
        seed: an integer from 0, of the first centres.

    Returns:
        The palette (colours, c), uint8, in ascending brightness, so that neighbouring indices look alike.

    Raises:
        ValueError: if colours is out of range, or the images have fewer different colours.

    Reference:
        Lloyd 1982, "Least squares quantization in PCM"; Arthur & Vassilvitskii 2007, "k-means++", for the start.
    """
    if not 2 <= colours <= 256:
        raise ValueError(f"a palette has 2 to 256 colours, got {colours}")
    found, counts = np.unique(images.reshape(-1, images.shape[-1]), axis=0, return_counts=True)
    if len(found) < colours:
        raise ValueError(f"the images have {len(found)} different colours: ask for a palette of at most as many")
    points, rng = found.astype(np.float64), np.random.default_rng(seed)
    centres = points[[np.argmax(counts)]]
    while len(centres) < colours:
        weight = counts * _distances(points, centres).min(1)
        centres = np.concatenate([centres, points[[rng.choice(len(points), p=weight / weight.sum())]]])
    for _ in range(_ITERATIONS):
        nearest = _distances(points, centres).argmin(1)
        mass = np.bincount(nearest, counts, colours)
        sums = np.stack([np.bincount(nearest, counts * points[:, i], colours) for i in range(points.shape[1])], 1)
        centres = np.where(mass[:, None] > 0, sums / np.maximum(mass, 1)[:, None], centres)
    brightness = centres @ (_WEIGHTS if centres.shape[1] == 3 else np.ones(centres.shape[1]))
    return np.rint(centres[np.argsort(brightness)]).astype(np.uint8)


def to_palette(images: UInt8[np.ndarray, "n h w c"], palette: UInt8[np.ndarray, "k c"]) -> Int32[np.ndarray, "n h w"]:
    """Replace each pixel by the index of the nearest colour of a palette.

    Args:
        images: uint8 images.
        palette: the colours, as `fit_palette` makes them.

    Returns:
        Indices (n, h, w), from 0 to k − 1.

    Raises:
        ValueError: if the palette's colours have another number of channels.
    """
    if palette.shape[-1] != images.shape[-1]:
        raise ValueError(
            f"a palette of images of {images.shape[-1]} channels has colours of as many, got {palette.shape}"
        )
    found, index = np.unique(images.reshape(-1, images.shape[-1]), axis=0, return_inverse=True)
    nearest = _distances(found.astype(np.float64), palette.astype(np.float64)).argmin(1)
    return nearest[index.reshape(-1)].reshape(images.shape[:-1]).astype(np.int32)


def from_palette(
    indices: Int32[np.ndarray, "n h w"], palette: UInt8[np.ndarray, "k c"]
) -> UInt8[np.ndarray, "n h w c"]:
    """Replace each index by its colour.

    Args:
        indices: integers from 0 to k − 1.
        palette: the colours.

    Returns:
        Images (n, h, w, c), uint8.

    Raises:
        ValueError: if an index is out of range.
    """
    if indices.size and not (indices.min() >= 0 and indices.max() < len(palette)):
        raise ValueError(f"indices of {len(palette)} colours go from 0 to {len(palette) - 1}, got {indices.max()}")
    return palette[indices]


def binarise(
    images: UInt8[np.ndarray, "n h w 1"], seed: int | None = None, threshold: int = 128
) -> Int32[np.ndarray, "n h w"]:
    """Turn grey images into bits, by a threshold or at random.

    Args:
        images: grey uint8 images.
        seed: None for the threshold; an integer from 0 for a bit that is 1 with probability grey level/255, once for
            each pixel.
        threshold: the lowest grey level of a 1, 1 to 255, without a seed.

    Returns:
        Bits (n, h, w), 0 or 1.

    Raises:
        ValueError: if the images are not grey, or threshold is out of range.

    Reference:
        Salakhutdinov & Murray 2008, "On the quantitative analysis of deep belief networks", for random bits.
    """
    if images.shape[-1] != 1:
        raise ValueError(f"bits are made of grey images (n, h, w, 1), got {images.shape}")
    if not 1 <= threshold <= 255:
        raise ValueError(f"threshold must lie in 1 … 255, got {threshold}")
    grey = images[..., 0]
    if seed is None:
        return (grey >= threshold).astype(np.int32)
    return (np.random.default_rng(seed).random(grey.shape) < grey / 255).astype(np.int32)


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((points[:, None] - centres) ** 2).sum(-1)

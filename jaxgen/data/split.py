"""Train/test splits by a hash, of an image or of its text."""

import hashlib

import numpy as np
from jaxtyping import Bool

from jaxgen.data.dataset import ImageDataset


def split_by_content(dataset: ImageDataset, test_fraction: float, seed: int = 0) -> tuple[ImageDataset, ImageDataset]:
    """Split into (train, test) by a hash of each image's bytes.

    Exact duplicates fall on the same side. The side of an image depends on its bytes and the seed alone, not on its
    position or on other images, so the size of the test set is binomial with probability `test_fraction`.

    Args:
        dataset: the images.
        test_fraction: the probability, in (0, 1), that an image is in the test set.
        seed: any integer, the key of the hash.

    Returns:
        (train, test).

    Raises:
        ValueError: if `test_fraction` lies outside (0, 1), or a side is empty.
    """
    in_test = _chosen_by_hash(dataset.images, test_fraction, seed, "images")
    return dataset.take(~in_test), dataset.take(in_test)


def split_by_text(dataset: ImageDataset, test_fraction: float, seed: int = 0) -> tuple[ImageDataset, ImageDataset]:
    """Split into (train, test) by a hash of each image's text, so that they share no text.

    The side of a text depends on its tokens and the seed alone. `split_by_content` hashes images instead.

    Args:
        dataset: images with tokens (N, L) as labels.
        test_fraction: the probability, in (0, 1), that a text is in the test set.
        seed: any integer, the key of the hash.

    Returns:
        (train, test).

    Raises:
        ValueError: if the dataset has no texts, `test_fraction` lies outside (0, 1), or a side is empty.
    """
    if dataset.labels is None or dataset.labels.ndim != 2:
        raise ValueError("the data set has no texts: its labels are not tokens (N, L).")
    texts, index = np.unique(dataset.labels, axis=0, return_inverse=True)
    in_test = _chosen_by_hash(texts.astype(np.int32), test_fraction, seed, "texts")[index.reshape(-1)]
    return dataset.take(~in_test), dataset.take(in_test)


def _chosen_by_hash(arrays: np.ndarray, fraction: float, seed: int, what: str) -> Bool[np.ndarray, " n"]:
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"test_fraction is {fraction}; expected a number strictly between 0 and 1.")
    # Little-endian bytes, so that the split is the same on every machine.
    arrays = np.ascontiguousarray(arrays, dtype=arrays.dtype.newbyteorder("<"))
    key = str(seed).encode()
    digests = b"".join(hashlib.blake2b(array.tobytes(), digest_size=8, key=key).digest() for array in arrays)
    chosen = np.frombuffer(digests, dtype="<u8") / 2.0**64 < fraction
    if chosen.all() or not chosen.any():
        raise ValueError(
            f"the {'train' if chosen.all() else 'test'} side of {len(arrays)} {what} is empty at "
            f"test_fraction={fraction}, seed={seed}: use more distinct {what}, another fraction or another seed."
        )
    return chosen

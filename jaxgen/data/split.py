"""Train/test splits by content."""

import hashlib

import numpy as np

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
    if not 0.0 < test_fraction < 1.0:
        raise ValueError(f"test_fraction is {test_fraction}; expected a number strictly between 0 and 1.")
    in_test = _hash_to_unit_interval(dataset.images, seed) < test_fraction
    if in_test.all() or not in_test.any():
        empty = "train" if in_test.all() else "test"
        raise ValueError(
            f"the {empty} side of {len(dataset)} images is empty at test_fraction={test_fraction}, seed={seed}: "
            "use more (distinct) images, another fraction or another seed."
        )
    return dataset.take(~in_test), dataset.take(in_test)


def _hash_to_unit_interval(images: np.ndarray, seed: int) -> np.ndarray:
    # Little-endian bytes, so that the split is the same on every machine.
    images = np.ascontiguousarray(images, dtype=images.dtype.newbyteorder("<"))
    key = str(seed).encode()
    digests = b"".join(hashlib.blake2b(image.tobytes(), digest_size=8, key=key).digest() for image in images)
    return np.frombuffer(digests, dtype="<u8") / 2.0**64

"""Files as they come from outside; skipped where they are not at hand."""

from pathlib import Path

import numpy as np
import pytest

from jaxgen.data import load_images, split_by_content, to_float

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def at_hand(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def test_crawl_sprites():
    data = load_images(at_hand("crawl_sprites_16x16.npz"), size=16)
    assert data.images.shape == (7729, 16, 16, 3)
    counts = dict(zip(data.label_names, np.bincount(data.labels), strict=True))
    assert counts == {"hero": 6000, "monster": 695, "food": 75, "item": 598, "spell": 361}
    scaled = to_float(data.images)
    assert (scaled.min(), scaled.max()) == (-1.0, 1.0)
    train, test = split_by_content(data, 0.1)
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}


@pytest.mark.slow
def test_cifar10_test_images():
    data = load_images(at_hand("cifar10_jpeg.tar.xz"), size=32, subset="test")
    assert data.images.shape == (10_000, 32, 32, 3)
    assert np.bincount(data.labels).tolist() == [1000] * 10
    assert data.label_names[0] == "airplane"
    assert data.label_names[-1] == "truck"

import numpy as np
import pytest

from jaxgen.data import ImageDataset, split_by_content


def random_dataset(n, seed=0):
    rng = np.random.default_rng(seed)
    return ImageDataset(rng.integers(0, 256, (n, 4, 4, 3), np.uint8), np.arange(n))


def contents(dataset):
    return [image.tobytes() for image in dataset.images]


def test_duplicates_never_straddle():
    unique = random_dataset(400)
    copies = np.random.default_rng(1).integers(0, 400, 1000)
    train, test = split_by_content(unique.take(copies), 0.3)
    assert len(train) + len(test) == 1000
    assert not set(contents(train)) & set(contents(test))


def test_a_side_depends_on_the_image_alone():
    data = random_dataset(300)
    _, test = split_by_content(data, 0.25, seed=3)
    shuffled = np.random.default_rng(2).permutation(300)
    _, test_shuffled = split_by_content(data.take(shuffled), 0.25, seed=3)
    _, test_half = split_by_content(data.take(slice(150)), 0.25, seed=3)
    assert set(test.labels) == set(test_shuffled.labels)
    assert set(test_half.labels) == {label for label in test.labels if label < 150}


def test_the_share_is_binomial_and_the_seed_matters():
    n, share = 4000, 0.2
    data = random_dataset(n)
    sides = [set(split_by_content(data, share, seed)[1].labels) for seed in (0, 1)]
    for side in sides:
        assert abs(len(side) - n * share) < 5 * np.sqrt(n * share * (1 - share))
    # Independent seeds agree on a share² of the images.
    assert abs(len(sides[0] & sides[1]) - n * share**2) < 5 * np.sqrt(n * share**2)


def test_the_test_sets_of_growing_fractions_are_nested():
    data = random_dataset(500)
    small, large = (set(split_by_content(data, fraction)[1].labels) for fraction in (0.1, 0.4))
    assert small < large


def test_byte_order_does_not_matter():
    images = np.random.default_rng(0).random((100, 2, 2, 1)).astype("<f4")
    one, other = (split_by_content(ImageDataset(images.astype(order)), 0.5)[0].images for order in ("<f4", ">f4"))
    np.testing.assert_array_equal(one, other)


def test_refusals():
    for fraction in (0.0, 1.0, -0.1, 1.5):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            split_by_content(random_dataset(10), fraction)
    with pytest.raises(ValueError, match="side of 50 images is empty"):
        split_by_content(random_dataset(1).take(np.zeros(50, int)), 0.5)

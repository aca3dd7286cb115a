import numpy as np
import pytest

from jaxgen.data import ImageDataset, to_float, to_uint8


def images(n=6, size=4, channels=3, dtype=np.uint8):
    return np.zeros((n, size, size, channels), dtype)


def test_length_classes_and_take():
    data = ImageDataset(
        np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1), np.array([0, 1, 2, 0, 1, 2]), ("a", "b", "c", "unused")
    )
    assert len(data) == 6
    assert data.num_classes == 4
    for index in (slice(1, 4), np.array([3, 1]), np.array([True, False, False, True, False, False])):
        part = data.take(index)
        np.testing.assert_array_equal(part.images.ravel(), np.arange(6)[index])
        np.testing.assert_array_equal(part.labels, np.array([0, 1, 2, 0, 1, 2])[index])
        assert part.label_names == data.label_names


def test_texts_are_rows_of_tokens():
    data = ImageDataset(images(3), np.array([[0, 4], [1, 2], [3, 3]]), tuple("abcde"))
    assert data.num_classes == 5
    np.testing.assert_array_equal(data.take(np.array([2, 0])).labels, [[3, 3], [0, 4]])


def test_classes_without_an_image():
    """Are meant where they are named, counted, few, or those of a larger dataset."""
    sparse = np.array([0, 10_000, 5000])
    assert ImageDataset(images(3), sparse, num_classes=10_001).num_classes == 10_001
    assert ImageDataset(images(3), sparse, tuple(map(str, range(20_000)))).num_classes == 20_000
    whole = ImageDataset(images(300), np.arange(300))
    part = whole.take(slice(260, 262))
    assert (part.num_classes, part.take(np.array([0])).num_classes) == (300, 300)
    np.testing.assert_array_equal(np.flatnonzero(part.class_counts), [260, 261])
    assert ImageDataset(images(2), np.array([3, 5])).class_counts.tolist() == [0, 0, 0, 1, 0, 1]
    assert ImageDataset(images(2), np.array([[3, 1], [1, 1]])).class_counts.tolist() == [0, 3, 0, 1]
    assert ImageDataset(images(2)).class_counts.tolist() == []


def test_classes_without_names_or_labels():
    assert ImageDataset(images(3), np.array([0, 4, 1])).num_classes == 5
    assert ImageDataset(images(3)).num_classes == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[0]],), TypeError, None),
        ((images(dtype=np.int64),), TypeError, "dtype int64; expected uint8"),
        ((images()[0],), ValueError, "expected four axes"),
        ((images(0),), ValueError, "nothing in them"),
        ((images(size=8).transpose(0, 3, 1, 2),), ValueError, r"channels-first: pass images.transpose\(0, 2, 3, 1\)"),
        ((images(channels=5),), ValueError, r"C in \(1, 3, 4\)"),
        ((images(), np.zeros(5, int)), ValueError, r"shape \(5,\); expected \(6,\)"),
        ((images(), np.zeros((5, 2), int)), ValueError, r"shape \(5, 2\); expected \(6,\), .* or \(6, L\)"),
        ((images(), np.zeros((6, 0), int)), ValueError, r"shape \(6, 0\)"),
        ((images(), np.zeros((6, 2, 1), int)), ValueError, r"shape \(6, 2, 1\)"),
        ((images(), np.full((6, 2), 2), ("a", "b")), ValueError, "highest label is 2 but there are 2"),
        ((images(), np.zeros(6)), TypeError, "float64; expected a numpy array of integers"),
        ((images(), [0] * 6), TypeError, None),
        ((images(), np.arange(6) - 1), ValueError, "lowest label is -1"),
        ((images(), np.arange(6), ("a", "b")), ValueError, "highest label is 5 but there are 2"),
        ((images(), np.arange(6) + 2**31 - 6, ()), ValueError, "highest label is 2,147,483,647, of 6 images: number"),
        ((images(), None, ("a", "b")), ValueError, "without labels"),
        ((images(), np.arange(6), (), 5), ValueError, "highest label is 5 but num_classes is 5"),
        ((images(), np.arange(6), tuple("abcdef"), 5), ValueError, "num_classes is 5 but there are 6 label_names"),
        (
            (images(3), np.array([0, 10_000, 5000])),
            ValueError,
            "labels 0, 5000, 10000 make 10,001 classes, of which 3",
        ),
    ],
)
def test_bad_datasets_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        ImageDataset(*arguments)


def test_uint8_round_trip_is_exact_and_spans_minus_one_to_one():
    every = np.arange(256, dtype=np.uint8)
    scaled = to_float(every)
    assert scaled.dtype == np.float32
    assert (scaled[0], scaled[-1]) == (-1.0, 1.0)
    np.testing.assert_allclose(scaled, np.arange(256) / 127.5 - 1.0, atol=1e-7)
    np.testing.assert_array_equal(to_uint8(scaled), every)


def test_floats_keep_their_meaning():
    unit = np.array([0.0, 0.25, 1.0])
    np.testing.assert_allclose(to_float(unit), [-1.0, -0.5, 1.0])
    signed = np.array([-0.3, 1e-6, 0.9], np.float32)
    np.testing.assert_array_equal(to_float(signed), signed)
    np.testing.assert_allclose(to_float(np.array([0.2, 0.4]), value_range=(-1.0, 1.0)), [0.2, 0.4], rtol=1e-6)
    np.testing.assert_allclose(to_float(np.array([0.0, 255.0]), value_range=(0.0, 255.0)), [-1.0, 1.0])


def test_to_uint8_clips():
    np.testing.assert_array_equal(to_uint8(np.array([-3.0, 7.0])), [0, 255])


@pytest.mark.parametrize(
    ("values", "value_range", "error", "message"),
    [
        (np.array([0.0, 255.0]), None, ValueError, r"span \[0, 255\]; expected \[0, 1\] or \[-1, 1\].*Cast"),
        (np.array([-1.5, 0.0]), None, ValueError, r"span \[-1.5, 0\]"),
        (np.array([0.5, 1.5]), (0.0, 1.0), ValueError, r"stated value_range \(0.0, 1.0\)"),
        (np.array([np.nan]), None, ValueError, "NaN"),
        (np.array([0.5]), (1.0, 0.0), ValueError, "low < high"),
        (np.array([1, 2]), None, TypeError, "dtype int64; expected uint8"),
    ],
)
def test_to_float_refuses_what_it_cannot_read(values, value_range, error, message):
    with pytest.raises(error, match=message):
        to_float(values, value_range)


def test_to_uint8_refuses_nan_and_integers():
    with pytest.raises(ValueError, match="NaN"):
        to_uint8(np.array([np.nan]))
    with pytest.raises(TypeError, match="expected floats"):
        to_uint8(np.array([1, 2]))

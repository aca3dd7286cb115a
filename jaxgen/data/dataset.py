"""Labelled images in host memory, and their scaling for models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

_MAX_CLASSES = 2**16  # of fewer images than that; networks have weights for each class
_SPARSE_CLASSES = 256  # above so many classes, at least half must occur
_CONTROL_CHARACTERS = frozenset(map(chr, (*range(32), *range(127, 160), *range(0xD800, 0xE000))))


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images in host memory with optional labels: a class for each, or a text for each.

    Labels are class indices 0 to `num_classes` − 1. Classes may have no image, as in a subset of a larger dataset. But
    labels (N,) of more than 256 classes are refused if fewer than half of the classes occur, such as 0, 5000 and 10000:
    they make 10,001 classes. They are accepted if `label_names` or `num_classes` is given. Every label must be below
    max(N, 65536).

    Attributes:
        images: (N, H, W, C) with C in {1, 3, 4}: uint8 in [0, 255], or floating point.
        labels: (N,) integers, the class of each image; or (N, L) integers, the tokens of its text; or None.
        label_names: a name for each class or token, or ().
        num_classes: the number of classes or tokens. The default is the number of names, else the highest label + 1.
            It is 0 without labels. `take` keeps it.

    Raises:
        ValueError: if there are no images or they are not (N, H, W, C) with such a C, labels have another shape, are
            out of range or leave most of more than 256 classes empty, `label_names` do not match `num_classes` or have
            no labels, or a name holds control characters.
        TypeError: if images are not a NumPy array of uint8 or floating point, or labels not one of integers.
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    num_classes: int | None = None

    def __post_init__(self):
        _check_images(self.images)
        if self.labels is not None:
            num_classes = _checked_classes(self.labels, len(self.images), self.label_names, self.num_classes)
        elif self.label_names:
            raise ValueError(f"label_names {self.label_names} without labels: give both or neither.")
        else:
            num_classes = 0
        object.__setattr__(self, "num_classes", num_classes)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    @property
    def class_counts(self) -> np.ndarray:
        """Number of images of each class (or of occurrences of each token), (num_classes,).

        A classifier can learn only where at least two of them are positive.
        """
        return np.bincount(() if self.labels is None else self.labels.ravel(), minlength=self.num_classes)

    def take(self, index: np.ndarray | slice) -> ImageDataset:
        """Select images and their labels.

        Args:
            index: a slice, integers (M,), or a boolean mask (N,).

        Returns:
            The chosen images and labels, with the same `label_names` and `num_classes`.

        Raises:
            ValueError: if no image is left.
        """
        labels = None if self.labels is None else self.labels[index]
        return ImageDataset(self.images[index], labels, self.label_names, self.num_classes)


def to_float(
    images: Shaped[np.ndarray, "*shape"], value_range: tuple[float, float] | None = None
) -> Float32[np.ndarray, "*shape"]:
    """Scale images to float32 in [-1, 1]; uint8 becomes x / 127.5 - 1.

    Args:
        images: uint8 or floating point, of any shape.
        value_range: the (low, high) that become -1 and 1. The default is (0, 255) for uint8; for floating point it is
            (-1, 1) if any value is negative, else (0, 1).

    Returns:
        Images of the same shape, float32 in [-1, 1].

    Raises:
        ValueError: if low ≥ high, or a value is outside that range or not finite.
        TypeError: if the images have another dtype.
    """
    if images.dtype == np.uint8:
        low, high = (0.0, 255.0) if value_range is None else value_range
    elif np.issubdtype(images.dtype, np.floating):
        if not np.isfinite(images).all():
            raise ValueError("images hold NaN or infinite values: clean the file they come from.")
        low, high = value_range or (-1.0 if images.min(initial=0.0) < 0 else 0.0, 1.0)
    else:
        raise TypeError(f"images have dtype {images.dtype}; expected uint8 in [0, 255] or floats in [0, 1] or [-1, 1].")
    if not low < high:
        raise ValueError(f"value_range is {value_range}; expected (low, high) with low < high.")
    smallest, largest = float(images.min(initial=high)), float(images.max(initial=low))
    if smallest < low or largest > high:
        raise ValueError(
            f"{images.dtype} images span [{smallest:g}, {largest:g}]; expected [0, 1] or [-1, 1]"
            f"{'' if value_range is None else f' within the stated value_range {value_range}'}. "
            "Cast values in [0, 255] to uint8, or pass value_range=(low, high)."
        )
    middle, half = np.float32((high + low) / 2), np.float32((high - low) / 2)
    return (images.astype(np.float32) - middle) / half


def to_uint8(images: Shaped[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Scale images from [-1, 1] to uint8 and clip values outside: the inverse of `to_float`.

    Args:
        images: floating point, of any shape.

    Returns:
        Images of the same shape, uint8.

    Raises:
        ValueError: if images hold NaN.
        TypeError: if images are not floating point.
    """
    if not np.issubdtype(images.dtype, np.floating):
        raise TypeError(f"images have dtype {images.dtype}; expected floats in [-1, 1].")
    if np.isnan(images).any():
        raise ValueError("images hold NaN: look for the step that diverged.")
    return np.round((np.clip(images, -1.0, 1.0).astype(np.float32) + 1.0) * 127.5).astype(np.uint8)


def _check_images(images: np.ndarray) -> None:
    if not isinstance(images, np.ndarray):
        raise TypeError(f"images are a {type(images).__name__}; expected a numpy array (N, H, W, C).")
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise TypeError(f"images have dtype {images.dtype}; expected uint8 in [0, 255] or floats in [0, 1] or [-1, 1].")
    if images.ndim != 4:
        raise ValueError(f"images have shape {images.shape}; expected four axes (N, H, W, C).")
    if 0 in images.shape:
        raise ValueError(f"images have shape {images.shape}: there is nothing in them.")
    if images.shape[-1] not in (1, 3, 4):
        hint = " They look channels-first: pass images.transpose(0, 2, 3, 1)." if images.shape[1] in (1, 3, 4) else ""
        raise ValueError(f"images have shape {images.shape}; expected (N, H, W, C) with C in (1, 3, 4).{hint}")


def _checked_classes(labels: np.ndarray, count: int, names: tuple[str, ...], num_classes: int | None) -> int:
    """The number of classes of labels that are in order."""
    if not isinstance(labels, np.ndarray) or not np.issubdtype(labels.dtype, np.integer):
        kind = getattr(labels, "dtype", type(labels).__name__)
        raise TypeError(f"labels are {kind}; expected a numpy array of integers (N,) or (N, L).")
    if labels.ndim not in (1, 2) or len(labels) != count or not labels.size:
        raise ValueError(f"labels have shape {labels.shape}; expected ({count},), one for each image, or ({count}, L).")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0:
        raise ValueError(f"the lowest label is {lowest}; labels start at 0.")
    if highest >= max(count, _MAX_CLASSES):
        raise ValueError(f"the highest label is {highest:,}, of {count:,} images: number the classes from 0.")
    if bad := [name for name in names if has_control_characters(name)]:
        raise ValueError(f"the label name {bad[0][:80]!r} holds control characters: rename it.")
    if names and highest >= len(names):
        raise ValueError(f"the highest label is {highest} but there are {len(names)} label_names: one per class.")
    if names and num_classes not in (None, len(names)):
        raise ValueError(f"num_classes is {num_classes} but there are {len(names)} label_names: one per class.")
    if num_classes is not None and highest >= num_classes:
        raise ValueError(f"the highest label is {highest} but num_classes is {num_classes}: labels are below it.")
    if not names and num_classes is None and labels.ndim == 1 and highest >= _SPARSE_CLASSES:
        found = np.unique(labels)
        if 2 * len(found) <= highest:
            shown = ", ".join(map(str, found[:3])) + f" … {found[-1]}" * (len(found) > 3)
            raise ValueError(
                f"the labels {shown} make {highest + 1:,} classes, of which "
                f"{len(found):,} occur: number them without gaps by numpy.unique(labels, return_inverse=True)[1], or "
                f"give label_names or num_classes={highest + 1} if the others are meant."
            )
    return num_classes or len(names) or highest + 1


def has_control_characters(name: str) -> bool:
    """Tell whether a name holds control characters, which terminals obey, or lone surrogates, which have no UTF-8."""
    return not _CONTROL_CHARACTERS.isdisjoint(name)

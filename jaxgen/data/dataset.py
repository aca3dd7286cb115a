"""A labelled set of images in host memory, and the scale that models see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

_MAX_CLASSES = 2**16  # where there are fewer images; every class has a name and a weight in networks
_CONTROLS = frozenset(map(chr, (*range(32), *range(127, 160), *range(0xD800, 0xE000))))


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images with optional labels: a class each, or a text each.

    Attributes:
        images: (N, H, W, C) with C in {1, 3, 4}: uint8 in [0, 255], or floating point.
        labels: (N,) integers from 0, one class per image, or (N, L), one token per character of its text; or None.
        label_names: one name per class or token, or () where they have none.

    Raises:
        ValueError: no images, not (N, H, W, C), labels of another shape or out of the range of `label_names`, or
            control characters in a name.
        TypeError: images neither uint8 nor floating point, or labels not integers.
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()

    def __post_init__(self):
        _check_images(self.images)
        if self.labels is None:
            if self.label_names:
                raise ValueError(f"label_names {self.label_names} without labels: give both or neither.")
        else:
            _check_labels(self.labels, len(self.images), self.label_names)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    @property
    def num_classes(self) -> int:
        """Number of classes or tokens: of the names if there are any, else the highest label + 1; 0 without labels."""
        if self.labels is None:
            return 0
        return len(self.label_names) or int(self.labels.max()) + 1

    def take(self, index: np.ndarray | slice) -> ImageDataset:
        """Return the images (and labels) at `index`: a slice, integers, or a boolean mask of length N."""
        labels = None if self.labels is None else self.labels[index]
        return ImageDataset(self.images[index], labels, self.label_names)


def to_float(
    images: Shaped[np.ndarray, "*shape"], value_range: tuple[float, float] | None = None
) -> Float32[np.ndarray, "*shape"]:
    """Scale images to float32 in [-1, 1]; uint8 becomes x / 127.5 - 1.

    Floating-point images are read as [-1, 1] if any value is negative, else as [0, 1]; `value_range` states it instead.

    Raises:
        ValueError: floating-point values outside that range, or not finite.
        TypeError: any other dtype.
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
    """Scale images in [-1, 1] to uint8, clipping what lies outside; the inverse of `to_float`.

    Raises:
        ValueError: NaN among the values.
        TypeError: images not of a floating-point dtype.
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


def _check_labels(labels: np.ndarray, count: int, names: tuple[str, ...]) -> None:
    if not isinstance(labels, np.ndarray) or not np.issubdtype(labels.dtype, np.integer):
        kind = getattr(labels, "dtype", type(labels).__name__)
        raise TypeError(f"labels are {kind}; expected a numpy array of integers (N,) or (N, L).")
    if labels.ndim not in (1, 2) or len(labels) != count or not labels.size:
        raise ValueError(
            f"labels have shape {labels.shape}; expected ({count},), one for each image, or ({count}, L), a text each."
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0:
        raise ValueError(f"the lowest label is {lowest}; labels start at 0.")
    if highest >= max(count, _MAX_CLASSES):
        raise ValueError(f"the highest label is {highest:,}, of {count:,} images: number the classes from 0.")
    if bad := [name for name in names if has_control_characters(name)]:
        raise ValueError(f"the label name {bad[0][:80]!r} holds control characters: rename it.")
    if names and highest >= len(names):
        raise ValueError(f"the highest label is {highest} but there are {len(names)} label_names: one per class.")


def has_control_characters(name: str) -> bool:
    """Tell whether a name holds control characters or lone surrogates, which terminals obey and files cannot hold."""
    return not _CONTROLS.isdisjoint(name)

"""Real images from the files they come in: arrays, idx files, folders and tars."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxgen.data.dataset import ImageDataset
from jaxgen.data.reading.arrays import read_labels, read_npy, read_npz
from jaxgen.data.reading.entries import TAR_SUFFIXES, is_tar
from jaxgen.data.reading.idx import idx_images_in, is_idx, read_idx_folder, read_idx_images, read_idx_labels
from jaxgen.data.reading.images import read_image_files
from jaxgen.data.reading.untrusted import prefixing_errors
from jaxgen.data.resizing import SquareResize


def load_images(
    path: str | Path,
    *,
    size: int | None = None,
    subset: str | None = None,
    labels: str | Path | np.ndarray | None = None,
    resize: int | None = None,
    resize_filter: str = "bicubic",
) -> ImageDataset:
    """Load images, and their labels where there are any, from one of the following.

    * **.npy**: an array (N, H, W, C) or, grey, (N, H, W). Its labels come from `labels`.
    * **.npz**: images under `images`, `x` or the only key with four axes; labels under `labels` or `y`; class names
      under `label_names`. With `subset="train"` the keys are `train_images`, `images_train` or `x_train`, and so on.
    * **idx files**, as MNIST and its kin come: `train-images-idx3-ubyte`, gzipped (.gz) or not, with the labels of
      `train-labels-idx1-ubyte` beside it; or the folder of the four, where `subset` is "train" or "test" (t10k).
    * **folder, .tar, .tar.gz, .tar.xz** of image files, in the order of their paths. A class is the folder that holds
      the image, as in `train/cat/01.png`; images that all lie in one folder are unlabelled. `subset="train"` keeps
      what lies below a folder `train`. Files without an image extension, and hidden ones, are passed over.

    Grey images become (N, H, W, 1) unless other files have colour; transparent pixels are laid on white.

    Files may come from strangers: nothing in them is run or unpacked onto the disk, and what would grow to more than
    half a GiB and 250 times its size is refused.

    Args:
        path: the file or folder.
        size: required height and width in pixels; None takes any.
        subset: part of the data, by the name it has there; None takes everything.
        labels: for arrays without labels: integers (N,) or one-hot (N, K), or a .npy or idx file of them.
        resize: crop to the central square and resize to this height and width in pixels.
        resize_filter: "nearest", "box", "bilinear", "bicubic" or "lanczos" as in Pillow, all but the first antialiased
            when shrinking. Fréchet distances depend on it.

    Raises:
        FileNotFoundError: no such path, or no images in it.
        ValueError: unknown extension, sizes that differ from each other or from `size`, labels of another length,
            an unknown `subset`, whatever else `ImageDataset` refuses, and files that are not to be trusted: pickled
            arrays or ones neither uint8 nor floating point, files cut short or longer than they announce, bombs, images
            above 179 megapixels, links and paths that lead out of a folder or tar, pipes and devices.
        TypeError: `labels` is an array of anything but integers.
        ImportError: image files or `resize` without Pillow.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist (looked in {Path.cwd()}).")
    if resize is not None and size not in (None, resize):
        raise ValueError(f"resize={resize} contradicts size={size}: drop one.")
    transform = None if resize is None else SquareResize(resize, resize_filter)

    idx_files = idx_images_in(path) if path.is_dir() else {}
    if labels is not None and (path.is_dir() or is_tar(path)):
        held = "in files beside its images" if idx_files else "its folders"
        raise ValueError(f"labels were given, but the labels of {path} are {held}: drop labels=.")
    if is_tar(path) or (path.is_dir() and not idx_files):
        parts = read_image_files(path, subset, transform, size)
        with prefixing_errors(path):
            return ImageDataset(*parts)

    if idx_files:
        images, found, names = read_idx_folder(path, subset, idx_files)
    elif path.suffix == ".npy":
        images, found, names = read_npy(path, subset)
    elif path.suffix == ".npz":
        images, found, names = read_npz(path, subset)
    elif is_idx(path):
        if subset is not None:
            raise ValueError(
                f"subset={subset!r} was asked for, but {path} is one file: give its folder, or drop subset=."
            )
        images, found, names = read_idx_images(path)
    else:
        known = ", ".join((".npy", ".npz", "…idx3-ubyte", "…idx3-ubyte.gz", *TAR_SUFFIXES))
        raise ValueError(f"{path} has an unknown extension; expected {known}, or a folder of images.")
    found = found if labels is None else _labels(labels)
    with prefixing_errors(path):
        dataset = ImageDataset(images, found, () if found is None else names)
    if transform is not None:
        dataset = replace(dataset, images=np.stack([transform(image) for image in images]))
    height, width = dataset.images.shape[1:3]
    if size is not None and (height, width) != (size, size):
        raise ValueError(f"{path} holds {height}×{width} images; expected {size}×{size}: pass resize={size}.")
    return dataset


def _labels(source: str | Path | np.ndarray) -> np.ndarray:
    if isinstance(source, str | Path) and is_idx(path := Path(source).expanduser()) and path.exists():
        return read_idx_labels(path)
    return read_labels(source)

"""Images and labels from arrays, idx files, folders and tars."""

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
    """Load images, and their labels if there are any, from a file or folder.

    The formats are:

    * **.npy**: an array (N, H, W, C), or (N, H, W) for grey images. Labels come from `labels`.
    * **.npz**: images under the key `images` or `x`, or under the only key with four axes; labels under `labels` or
      `y`; class names under `label_names`. With `subset="train"` the keys are `train_images`, `images_train` or
      `x_train`, and likewise for labels.
    * **idx files**, as of MNIST: `train-images-idx3-ubyte`, optionally with .gz, and the labels of
      `train-labels-idx1-ubyte` beside it; or a folder of such files, where `subset` is "train" or "test" (t10k).
    * **a folder, .tar, .tar.gz, .tar.xz or .tar.bz2** of image files, sorted by path. The class of an image is its
      folder, as in `train/cat/01.png`. Images that all lie in one folder have no labels. `subset="train"` keeps images
      below a folder `train`. Hidden files and files without an image extension are ignored.

    Grey images have one channel unless other images of the dataset have colour. Transparent pixels are blended with
    white. Files may be untrusted: nothing in them is executed or unpacked to disk, and a file that would expand both
    above half a GiB and above 250 times its size is refused.

    Args:
        path: the file or folder.
        size: the height and width, in pixels, that the images must have; None accepts any.
        subset: the part of the data to load, by its name in the file or folder; None loads everything.
        labels: labels for arrays without them: integers (N,), one-hot rows (N, K), or a .npy or idx file of either.
        resize: crop to the central square and resize to this height and width in pixels.
        resize_filter: "nearest", "box", "bilinear", "bicubic" or "lanczos", as in Pillow. All but "nearest" antialias
            when shrinking. Fréchet distances depend on it.

    Returns:
        The images, uint8 or floating point as stored, with labels as class indices. Labels are not renumbered, so that
        the parts of a dataset agree.

    Warns:
        UserWarning: if an .npz without labels under one of the names above has arrays that were not read.

    Raises:
        FileNotFoundError: if there is no such path or file of labels, or no image in it.
        ValueError: if the extension, subset or filter is unknown, images differ in size or are not of `size`, arguments
            contradict each other or the files, or a file is broken or untrustworthy (pickled arrays, other dtypes, more
            or fewer bytes than announced, bombs, images of more than 8192² pixels (67 megapixels), links and paths that
            lead out of a folder or tar, pipes and devices); and as `ImageDataset` does, such as for labels of another
            length.
        TypeError: if `labels` is an array but not of integers.
        ImportError: if Pillow, which image files and `resize` need, is not installed.
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
        images, found, names = read_npz(path, subset, warn=labels is None)
    elif is_idx(path):
        if subset is not None:
            raise ValueError(f"subset={subset!r} was asked for, but {path} is one file: give its folder, or drop it.")
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
    if isinstance(source, str | Path) and is_idx(path := Path(source).expanduser()):
        return read_idx_labels(path)
    return read_labels(source)

"""Features of images: the arrays that every metric of this room compares."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float32, Float64, Num


def extract(
    feature_fn: Callable[[Array], Array], images: Num[Array | np.ndarray, "n *event"], batch_size: int = 256
) -> Float32[np.ndarray, "n d"]:
    """Applies `feature_fn`, `(b, *event) -> (b, d)`, to all images in jitted batches of one size.

    It is compiled once per function object and batch size: the last batch is filled up with copies of the last image,
    whose features are dropped. So `feature_fn` must treat each image on its own (no batch statistics).

    Raises ValueError for no images, a batch size below 1, or features that are not of shape (b, d).
    """
    n = len(images)
    if n == 0:
        raise ValueError("extract got no images: expected an array of shape (n, *event) with n >= 1")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    apply = jax.jit(feature_fn)
    features, in_flight = [], None
    for start in range(0, n, batch_size):
        rows = np.minimum(np.arange(start, start + batch_size), n - 1)
        ahead = apply(jnp.asarray(images[rows]))
        if ahead.ndim != 2 or ahead.shape[0] != batch_size:
            raise ValueError(
                f"feature_fn must map {batch_size} images to features of shape ({batch_size}, d), got {ahead.shape}: "
                "flatten or pool them to one vector per image"
            )
        # Fetch a batch only when the next one is running: the device never waits for the host.
        if in_flight is not None:
            features.append(np.asarray(in_flight, np.float32))
        in_flight = ahead
    features.append(np.asarray(in_flight, np.float32))
    return np.concatenate(features)[:n]


def as_features(name: str, features: ArrayLike) -> Float64[np.ndarray, "n d"]:
    """Returns features as float64; raises ValueError unless they are finite, of shape (n, d), with n >= 2, d >= 1."""
    array = np.asarray(features, np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name} must be an array of shape (n, d), one feature vector per row, got {array.shape}")
    if len(array) < 2:
        raise ValueError(f"{name} must hold at least 2 samples, got {len(array)}")
    if bad := int((~np.isfinite(array)).any(1).sum()):
        raise ValueError(f"{name} has NaN or infinity in {bad} of {len(array)} rows: look at the samples first")
    return array


def same_dimension(d: int, e: int) -> None:
    """Raises ValueError unless two sets have features of one dimension."""
    if d != e:
        raise ValueError(f"the two sets have features of dimension {d} and {e}: use one feature function for both")

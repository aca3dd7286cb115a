"""Features of images: how to compute them, and the checks that all metrics share."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float32, Float64, Num

from jaxgen.core import check_at_least


def apply_in_batches(
    feature_fn: Callable[[Array], Array], images: Num[Array | np.ndarray, "n *event"], batch_size: int = 256
) -> Float32[np.ndarray, "n d"]:
    """Apply `feature_fn` to all images, in jitted batches of one size.

    The function is compiled once per function object and batch size. The last batch is filled up with copies of the
    last image, whose features are dropped.

    Args:
        feature_fn: maps images (b, *event) to features (b, d). It must not use batch statistics.
        images: shape (n, *event).
        batch_size: number of images in a batch.

    Returns:
        The features, float32 of shape (n, d).

    Raises:
        ValueError: if there are no images, `batch_size` is below 1, or the features are not of shape (b, d).
    """
    n = len(images)
    if n == 0:
        raise ValueError("apply_in_batches got no images: expected an array of shape (n, *event) with n >= 1")
    check_at_least(1, batch_size=batch_size)
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
        # Fetch a batch only when the next one is running, so that the device never waits for the host.
        if in_flight is not None:
            features.append(np.asarray(in_flight, np.float32))
        in_flight = ahead
    features.append(np.asarray(in_flight, np.float32))
    return np.concatenate(features)[:n]


def check_features(name: str, features: ArrayLike) -> Float64[np.ndarray, "n d"]:
    """Return features as float64; raise ValueError unless they are finite and of shape (n, d), n >= 2, d >= 1."""
    array = np.asarray(features, np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name} must be an array of shape (n, d), one feature vector per row, got {array.shape}")
    if len(array) < 2:
        raise ValueError(f"{name} must hold at least 2 samples, got {len(array)}")
    if bad := int((~np.isfinite(array)).any(1).sum()):
        raise ValueError(f"{name} has NaN or infinity in {bad} of {len(array)} rows: look at the samples first")
    return array


def check_pair(
    names: tuple[str, str], x: ArrayLike, y: ArrayLike
) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]]:
    """Check two sets of features as `check_features` does; raise ValueError if their dimensions differ."""
    x, y = check_features(names[0], x), check_features(names[1], y)
    check_same_dimension(x.shape[1], y.shape[1])
    return x, y


def check_same_dimension(d: int, e: int) -> None:
    """Raise ValueError unless two sets have features of one dimension."""
    if d != e:
        raise ValueError(f"the two sets have features of dimension {d} and {e}: use one feature function for both")

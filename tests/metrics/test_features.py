"""Batched feature extraction: one trace, no padding left behind, errors that say what to do."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refuses

from jaxgen.metrics import apply_in_batches
from jaxgen.metrics.features import check_features, check_same_dimension

IMAGES = np.random.default_rng(0).normal(size=(23, 4, 4, 3)).astype(np.float32)


def moments(images):
    flat = images.reshape(len(images), -1).astype(jnp.float32)
    return jnp.stack([flat.sum(1), (flat**2).sum(1)], axis=1)


@pytest.mark.parametrize(
    ("batch_size", "as_array"), [(1, np.asarray), (5, jnp.asarray), (23, np.asarray), (64, jnp.asarray)]
)
def test_every_image_has_its_own_features_at_any_batch_size(batch_size, as_array):
    features = apply_in_batches(moments, as_array(IMAGES), batch_size=batch_size)
    flat = IMAGES.reshape(23, -1)
    assert isinstance(features, np.ndarray)
    np.testing.assert_allclose(features, np.stack([flat.sum(1), (flat**2).sum(1)], axis=1), rtol=1e-5, atol=1e-5)


def test_the_ragged_last_batch_and_a_second_call_do_not_retrace():
    counted = chex.assert_max_traces(moments, n=1)
    apply_in_batches(counted, IMAGES, batch_size=10)
    apply_in_batches(counted, IMAGES[:7], batch_size=10)


def test_padding_is_made_of_real_images():
    """Zeros may be far outside the data: a feature function with a norm in it could return NaN or raise for them."""
    seen = []

    def watched(images):
        jax.debug.callback(lambda norms: seen.append(np.asarray(norms)), jnp.abs(images).sum((1, 2, 3)))
        return moments(images)

    apply_in_batches(watched, IMAGES, batch_size=10)
    jax.effects_barrier()
    assert len(seen) == 3
    assert min(norms.min() for norms in seen) > 0


def test_integer_images_and_low_precision_features_come_back_as_float32():
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    features = apply_in_batches(lambda x: moments(x).astype(jnp.bfloat16), images, batch_size=2)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features[:, 0], [6, 22, 38])


def test_refusals():
    refuses(
        ("no images", lambda: apply_in_batches(moments, IMAGES[:0])),
        ("batch_size must be at least 1, got 0", lambda: apply_in_batches(moments, IMAGES, batch_size=0)),
        ("flatten or pool", lambda: apply_in_batches(lambda x: x, IMAGES)),
        ("flatten or pool", lambda: apply_in_batches(lambda x: moments(x).mean(0, keepdims=True), IMAGES)),
        *(
            (r"shape \(n, d\)", lambda shape=shape: check_features("x", np.zeros(shape)))
            for shape in (5, (5, 2, 2), (5, 0))
        ),
        ("at least 2 samples, got 1", lambda: check_features("real", np.zeros((1, 3)))),
        ("NaN or infinity in 1 of 3 rows", lambda: check_features("real", np.array([[0.0], [np.inf], [1.0]]))),
        (
            "NaN or infinity in 2 of 3 rows",
            lambda: check_features("real", np.array([[0, 1], [np.nan, np.inf], [0, -np.inf]])),
        ),
        ("dimension 3 and 4", lambda: check_same_dimension(3, 4)),
    )

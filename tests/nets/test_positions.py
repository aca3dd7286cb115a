"""Positions of tokens: sines and cosines as defined, and rotations whose inner products see differences alone."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nets.positions import rotary_angles, rotate, sincos_positions


def waves(place, features):
    """The definition along one axis: sines, then cosines, at 10000^(−i / (features/2))."""
    angles = [place / 10_000 ** (i / (features // 2)) for i in range(features // 2)]
    return [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]


def test_positions_on_a_line_are_the_formula():
    np.testing.assert_allclose(sincos_positions((50,), 10), [waves(n, 10) for n in range(50)], atol=1e-5)


def test_positions_on_a_grid_are_those_of_the_column_and_then_of_the_row():
    expected = [waves(column, 6) + waves(row, 6) for row in range(3) for column in range(5)]
    np.testing.assert_allclose(sincos_positions((3, 5), 12), expected, atol=1e-6)


def test_rotation_is_a_multiplication_of_complex_numbers():
    x = np.random.default_rng(0).standard_normal((2, 15, 3, 8)).astype(np.float32)
    got = rotate(jnp.asarray(x), rotary_angles((3, 5), 8))
    z = x[..., :4] + 1j * x[..., 4:]
    for n in range(15):
        # two planes turn with the row, and two with the column
        angles = [place / 10_000 ** (i / 2) for place in divmod(n, 5) for i in range(2)]
        expected = z[:, n] * np.exp(1j * np.array(angles))
        np.testing.assert_allclose(got[:, n], np.concatenate([expected.real, expected.imag], -1), atol=1e-5)


@pytest.mark.parametrize(("shape", "shift"), [((12,), 3), ((4, 5), 5 * 1 + 2)])
def test_inner_products_depend_on_differences_alone(shape, shift):
    """⟨R(m) q, R(n) k⟩ is the same where both positions are shifted, and differs where one is."""
    n = math.prod(shape)
    queries, keys = np.random.default_rng(1).standard_normal((2, 8)).astype(np.float32)
    angles = rotary_angles(shape, 8)
    turned = [np.asarray(rotate(jnp.broadcast_to(each, (1, n, 1, 8)), angles))[0, :, 0] for each in (queries, keys)]
    products = turned[0] @ turned[1].T
    columns = shape[-1] - (shift % shape[-1] if len(shape) == 2 else shift)  # no wrap at the end of a row
    kept = [m for m in range(n - shift) if len(shape) == 1 or m % shape[-1] < columns]
    moved = [m + shift for m in kept]
    np.testing.assert_allclose(products[np.ix_(moved, moved)], products[np.ix_(kept, kept)], atol=1e-4)
    assert np.abs(products[np.ix_(moved, kept)] - products[np.ix_(kept, kept)]).max() > 0.1


def test_rotation_keeps_lengths_and_the_dtype():
    x = np.random.default_rng(2).standard_normal((1, 6, 2, 4)).astype(np.float16)
    got = rotate(jnp.asarray(x), rotary_angles((6,), 4))
    assert got.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(got, axis=-1), np.linalg.norm(x, axis=-1), rtol=5e-3)


def test_refusals():
    with pytest.raises(ValueError, match="along 2 axes need a width that is a multiple of 4, got 6"):
        sincos_positions((2, 2), 6)
    with pytest.raises(ValueError, match="along 2 axes need heads whose width is a multiple of 4, got 2"):
        rotary_angles((2, 2), 2)
    with pytest.raises(ValueError, match="along 1 axes"):
        rotary_angles((2,), 3)

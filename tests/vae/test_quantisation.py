"""The nearest code by brute force, straight-through gradients, and the loss of a VQ-VAE."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refuses

from jaxgen.distributions import Gaussian, likelihoods
from jaxgen.vae import nearest_code, quantise, vq_vae_loss

KEYS = jax.random.split(jax.random.key(0), 4)
RNG = np.random.default_rng(0)
Z, CODES = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((3, 4, 5, 6), (7, 6)))


def distances(z, codes):
    """‖z − e‖² in float64, every pair."""
    return ((np.float64(z)[..., None, :] - np.float64(codes)) ** 2).sum(-1)


@pytest.mark.parametrize(("offset", "size"), [(offset, size) for offset in (0, 1, 100, 1e4) for size in (1e-3, 1, 1e3)])
def test_c4_10_the_chosen_code_is_nearest_wherever_codes_and_encodings_lie(offset, size):
    """Also far from the origin, where ‖e‖² − 2z·e itself would have no digits left."""
    rng = np.random.default_rng(0)
    z, codes = (np.float32(offset + size * rng.standard_normal((n, 6))) for n in (500, 30))
    exact = distances(z, codes)
    chosen = np.take_along_axis(exact, np.asarray(nearest_code(jnp.asarray(z), jnp.asarray(codes)))[:, None], -1)[:, 0]
    assert np.all(chosen <= exact.min(-1) + 1e-5 * size**2)


def test_of_equal_codes_the_first_is_chosen():
    codes = jnp.concatenate([CODES, CODES])
    np.testing.assert_array_equal(nearest_code(Z, codes), nearest_code(Z, CODES))
    np.testing.assert_array_equal(nearest_code(CODES, CODES), np.arange(7))
    # exactly between two
    line = jnp.array([[0.0], [2.0], [4.0]])
    np.testing.assert_array_equal(nearest_code(jnp.array([[1.0], [3.0], [5.0]]), line), [0, 1, 2])


def test_memory_has_no_tensor_of_every_pair_and_dimension():
    z, codes = jnp.zeros((64, 8, 8, 32)), jnp.zeros((512, 32))
    compiled = jax.jit(nearest_code).lower(z, codes).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 3 * 64 * 64 * 512 * 4


def test_gradients_go_where_the_stops_let_them():
    """Codebook loss to the codes alone, commitment to the encodings alone, the decoder's to no code (and C4.10)."""
    indices = np.asarray(nearest_code(Z, CODES))
    difference = np.float64(CODES)[indices] - np.float64(Z)
    size = Z[0].size
    by_z, by_codes = jax.grad(lambda z, e: quantise(z, e).codebook_loss.sum(), (0, 1))(Z, CODES)
    np.testing.assert_array_equal(by_z, np.zeros_like(Z))
    expected = np.zeros(CODES.shape)
    np.add.at(expected, indices.reshape(-1), 2 * difference.reshape(-1, 6) / size)
    np.testing.assert_allclose(by_codes, expected, rtol=1e-4, atol=1e-6)

    by_z, by_codes = jax.grad(lambda z, e: quantise(z, e).commitment_loss.sum(), (0, 1))(Z, CODES)
    np.testing.assert_allclose(by_z, -2 * difference / size, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(by_codes, np.zeros_like(CODES))
    by_codes = jax.grad(lambda e: jnp.sin(quantise(Z, e).codes).sum())(CODES)
    np.testing.assert_array_equal(by_codes, np.zeros_like(CODES))


def vq(z, codes, x, **options):
    """A linear model: encodings are given, the mean is a sum of codes."""
    decode = lambda e: Gaussian(e.reshape(len(e), -1)[:, :4], jnp.asarray(0.5))
    return vq_vae_loss(lambda x: z, decode, codes, x, likelihood=likelihoods.gaussian(), **options)


def test_the_loss_is_its_three_terms():
    x = jax.random.normal(KEYS[3], (3, 4))
    error = distances(Z, CODES).min(-1).mean((1, 2)) / 6
    mean = np.float64(CODES[nearest_code(Z, CODES)].reshape(3, -1)[:, :4])
    reconstruction = (0.5 * ((x - mean) / 0.5) ** 2 + np.log(0.5) + 0.5 * np.log(2 * np.pi)).sum(-1)
    for options, weight in (({}, 1.25), ({"commitment": 2.0}, 3.0), ({"codebook_weight": 0.0}, 0.25)):
        losses, metrics, found = vq(Z, CODES, x, **options)
        np.testing.assert_allclose(losses, reconstruction + weight * error, rtol=1e-5)
        np.testing.assert_allclose(metrics["reconstruction"], reconstruction, rtol=1e-5)
        np.testing.assert_allclose(metrics["commitment"], error, rtol=1e-5)
        np.testing.assert_array_equal(found.encodings, Z)
        np.testing.assert_array_equal(found.codes, CODES[found.indices])
        np.testing.assert_allclose([found.codebook_loss, found.commitment_loss], [error, error], rtol=1e-5)
    gradient = jax.grad(lambda e: vq(Z, e, x, codebook_weight=0.0)[0].sum())(CODES)
    np.testing.assert_array_equal(gradient, np.zeros_like(CODES))
    half = quantise(Z.astype(jnp.bfloat16), CODES)
    assert half.codes.dtype == jnp.float32
    np.testing.assert_array_equal(half.indices, nearest_code(Z.astype(jnp.bfloat16).astype(jnp.float32), CODES))


def test_refusals(unchecked):
    x = jnp.zeros((3, 4))
    refuses(
        (r"codes must have shape \(K, 6\)", lambda: quantise(Z, jnp.zeros((7, 5)))),
        (r"codes must have shape \(K, 6\)", lambda: quantise(Z, jnp.zeros(6))),
        ("commitment must be finite", lambda: vq(Z, CODES, x, commitment=-0.1)),
        ("codebook_weight must be finite", lambda: vq(Z, CODES, x, codebook_weight=-0.1)),
    )

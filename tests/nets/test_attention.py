import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nets.attention import CrossAttention, SelfAttention, position_features
from jaxgen.nets.normalization import GroupNorm


def normal(*shape):
    return jnp.asarray(np.random.default_rng(2).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize(("channels", "head_channels", "heads"), [(8, 64, 1), (8, 4, 2), (6, 4, 2), (12, 3, 4)])
def test_equals_explicit_softmax_attention(channels, head_channels, heads, random_params):
    x = normal(2, 3, 5, channels)
    net = SelfAttention(head_channels)
    params = random_params(net, x)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])

    width = channels // heads
    normed = np.asarray(jax.jit(GroupNorm().apply)({"params": params["params"]["norm"]}, x), np.float64).reshape(
        2, 15, channels
    )
    expected = np.asarray(x, np.float64).reshape(2, 15, channels).copy()
    for b in range(2):
        for head in range(heads):
            q, k, v = (normed[b] @ p["qkv"]["kernel"][:, i, head] + p["qkv"]["bias"][i, head] for i in range(3))
            weights = np.exp(q @ k.T / np.sqrt(width))
            weights /= weights.sum(1, keepdims=True)
            expected[b] += weights @ v @ p["out"]["kernel"][head * width : (head + 1) * width]
        expected[b] += p["out"]["bias"]
    np.testing.assert_allclose(jax.jit(net.apply)(params, x), expected.reshape(x.shape), atol=1e-4)


def test_commutes_with_permuting_pixels(random_params):
    x = normal(1, 4, 4, 8)
    net = SelfAttention()
    params = random_params(net, x)
    order = np.random.default_rng(3).permutation(16)

    def permute(images):
        return np.asarray(images).reshape(1, 16, 8)[:, order].reshape(1, 4, 4, 8)

    apply = jax.jit(net.apply)
    np.testing.assert_allclose(apply(params, permute(x)), permute(apply(params, x)), atol=1e-5)


def test_starts_as_the_identity():
    x = normal(2, 4, 4, 8)
    out, _ = jax.jit(SelfAttention().init_with_output)(jax.random.key(0, impl="rbg"), x)
    np.testing.assert_array_equal(out, x)


def test_bfloat16_is_close_to_float32(random_params):
    x = normal(2, 4, 4, 8)
    params = random_params(SelfAttention(), x)
    half = jax.jit(SelfAttention(dtype=jnp.bfloat16).apply)(params, x.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), jax.jit(SelfAttention().apply)(params, x), atol=0.1)


class TestCrossAttention:
    @pytest.mark.parametrize(("channels", "head_channels", "heads"), [(8, 64, 1), (8, 4, 2), (12, 3, 4)])
    def test_equals_explicit_softmax_attention(self, channels, head_channels, heads, random_params):
        x, sequence = normal(2, 3, 5, channels), normal(2, 4, 6)
        net = CrossAttention(head_channels)
        params = random_params(net, x, sequence)
        p = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])

        width = channels // heads
        normed = jax.jit(GroupNorm().apply)({"params": params["params"]["norm"]}, x)
        asking = np.asarray(normed, np.float64).reshape(2, 15, channels)
        asking = asking + np.asarray(position_features(3, 5)) @ p["place"]["kernel"]
        expected = np.asarray(x, np.float64).reshape(2, 15, channels).copy()
        for b in range(2):
            for head in range(heads):
                q = asking[b] @ p["queries"]["kernel"][:, head] + p["queries"]["bias"][head]
                told = np.asarray(sequence[b])
                k, v = (
                    told @ p["keys_values"]["kernel"][:, i, head] + p["keys_values"]["bias"][i, head] for i in (0, 1)
                )
                weights = np.exp(q @ k.T / np.sqrt(width))
                weights /= weights.sum(1, keepdims=True)
                expected[b] += weights @ v @ p["out"]["kernel"][head * width : (head + 1) * width]
            expected[b] += p["out"]["bias"]
        np.testing.assert_allclose(jax.jit(net.apply)(params, x, sequence), expected.reshape(x.shape), atol=1e-4)

    def test_the_order_of_the_sequence_does_not_matter_but_the_place_of_a_pixel_does(self, random_params):
        x, sequence = jnp.broadcast_to(normal(1, 1, 1, 8), (1, 4, 6, 8)), normal(1, 3, 5)
        params = random_params(CrossAttention(), x, sequence)
        apply = jax.jit(CrossAttention().apply)
        out = apply(params, x, sequence)
        np.testing.assert_allclose(apply(params, x, sequence[:, ::-1]), out, atol=1e-5)
        pixels = np.asarray(out).reshape(24, 8)
        distances = np.linalg.norm(pixels[:, None] - pixels, axis=-1) + 10 * np.eye(24)
        assert distances.min() > 1e-4

    def test_starts_as_the_identity(self):
        x = normal(2, 4, 4, 8)
        out, _ = jax.jit(CrossAttention().init_with_output)(jax.random.key(0, impl="rbg"), x, normal(2, 3, 5))
        np.testing.assert_array_equal(out, x)

    def test_bfloat16_is_close_to_float32(self, random_params):
        x, sequence = normal(2, 4, 4, 8), normal(2, 3, 5)
        params = random_params(CrossAttention(), x, sequence)
        half = jax.jit(CrossAttention(dtype=jnp.bfloat16).apply)(params, x.astype(jnp.bfloat16), sequence)
        assert half.dtype == jnp.bfloat16
        full = jax.jit(CrossAttention().apply)(params, x, sequence)
        np.testing.assert_allclose(half.astype(jnp.float32), full, atol=0.1)


def test_pixel_places_are_waves_over_rows_and_columns():
    got = np.asarray(position_features(3, 5, octaves=2)).reshape(3, 5, 8)
    for i in range(3):
        for j in range(5):
            waves = []
            for place in ((i + 0.5) / 3, (j + 0.5) / 5):
                waves += [wave(np.pi * octave * place) for wave in (np.sin, np.cos) for octave in (1, 2)]
            np.testing.assert_allclose(got[i, j], waves, atol=1e-6)

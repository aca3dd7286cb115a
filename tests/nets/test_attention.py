import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nets.attention import SelfAttention
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

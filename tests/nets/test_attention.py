import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nets.attention import CrossAttention, SelfAttention, position_features

slow = lambda *case: pytest.param(*case, marks=pytest.mark.slow)
KINDS = {"self": SelfAttention, "cross": CrossAttention}
kinds = pytest.mark.parametrize("kind", KINDS)


def normal(*shape):
    return jnp.asarray(np.random.default_rng(2).standard_normal(shape), jnp.float32)


@functools.cache
def compiled(kind, head_channels, dtype=None):
    return jax.jit(KINDS[kind](head_channels, dtype=dtype).apply)


def inputs(kind, channels=8):
    return (normal(2, 3, 5, channels), normal(2, 4, 6))[: 1 + (kind == "cross")]


@pytest.mark.first_by_day
@kinds
@pytest.mark.parametrize(
    ("channels", "head_channels", "heads"), [(8, 4, 2), slow(8, 64, 1), slow(6, 4, 2), slow(12, 3, 4)]
)
def test_equals_explicit_softmax_attention(kind, channels, head_channels, heads, random_params):
    x, *sequence = inputs(kind, channels)
    params = random_params(KINDS[kind](head_channels), x, *sequence)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])
    groups = max(1, channels // 4)
    normed = np.asarray(x, np.float64).reshape(2, 15, groups, -1)
    normed = (normed - normed.mean((1, 3), keepdims=True)) / np.sqrt(normed.var((1, 3), keepdims=True) + 1e-5)
    normed = normed.reshape(2, 15, channels) * p["norm"]["scale"] + p["norm"]["bias"]
    width = channels // heads
    expected = np.asarray(x, np.float64).reshape(2, 15, channels).copy()
    for b in range(2):
        for head in range(heads):
            if kind == "self":
                q, k, v = (normed[b] @ p["qkv"]["kernel"][:, i, head] + p["qkv"]["bias"][i, head] for i in range(3))
            else:
                asking = normed[b] + np.asarray(position_features(3, 5)) @ p["place"]["kernel"]
                q = asking @ p["queries"]["kernel"][:, head] + p["queries"]["bias"][head]
                kernel, bias = p["keys_values"]["kernel"], p["keys_values"]["bias"]
                k, v = (np.asarray(sequence[0][b]) @ kernel[:, i, head] + bias[i, head] for i in (0, 1))
            weights = np.exp(q @ k.T / np.sqrt(width))
            weights /= weights.sum(1, keepdims=True)
            expected[b] += weights @ v @ p["out"]["kernel"][head * width : (head + 1) * width]
        expected[b] += p["out"]["bias"]
    np.testing.assert_allclose(
        compiled(kind, head_channels)(params, x, *sequence), expected.reshape(x.shape), atol=1e-4
    )


def test_self_attention_commutes_with_permuting_pixels(random_params):
    (x,) = inputs("self")
    apply = functools.partial(compiled("self", 4), random_params(SelfAttention(4), x))
    order = np.random.default_rng(3).permutation(15)
    permute = lambda images: np.asarray(images).reshape(2, 15, 8)[:, order].reshape(2, 3, 5, 8)
    np.testing.assert_allclose(apply(permute(x)), permute(apply(x)), atol=1e-5)


def test_the_order_of_a_sequence_does_not_matter_but_the_position_of_a_pixel_does(random_params):
    x, sequence = inputs("cross")
    x = jnp.broadcast_to(x[:, :1, :1], x.shape)
    apply = functools.partial(compiled("cross", 4), random_params(CrossAttention(4), x, sequence))
    out = apply(x, sequence)
    np.testing.assert_allclose(apply(x, sequence[:, ::-1]), out, atol=1e-5)
    pixels = np.asarray(out[0]).reshape(15, 8)
    distances = np.linalg.norm(pixels[:, None] - pixels, axis=-1) + 10 * np.eye(15)
    assert distances.min() > 1e-4


@kinds
def test_starts_as_the_identity(kind, random_params, initial):
    x, *sequence = inputs(kind)
    net = KINDS[kind](4)
    params = random_params(net, x, *sequence)
    params["params"]["out"] = initial(net, "out", x, *sequence)
    np.testing.assert_array_equal(compiled(kind, 4)(params, x, *sequence), x)


@kinds
@pytest.mark.slow
def test_bfloat16_is_close_to_float32(kind, random_params):
    x, *sequence = inputs(kind)
    params = random_params(KINDS[kind](4), x, *sequence)
    half = compiled(kind, 4, jnp.bfloat16)(params, x.astype(jnp.bfloat16), *sequence)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), compiled(kind, 4)(params, x, *sequence), atol=0.1)


def test_position_features_are_waves_over_rows_and_columns():
    got = np.asarray(position_features(3, 5, octaves=2)).reshape(3, 5, 8)
    for i, j in np.ndindex(3, 5):
        waves = []
        for place in ((i + 0.5) / 3, (j + 0.5) / 5):
            waves += [wave(np.pi * octave * place) for wave in (np.sin, np.cos) for octave in (1, 2)]
        np.testing.assert_allclose(got[i, j], waves, atol=1e-6)

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nets.normalization import GroupNorm, largest_divisor


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize(
    ("n", "at_most", "expected"), [(64, 32, 32), (30, 7, 6), (7, 6, 1), (12, 8, 6), (5, 100, 5), (3, 0, 1), (1, 1, 1)]
)
def test_largest_divisor(n, at_most, expected):
    assert largest_divisor(n, at_most) == expected


def group_norm_in_numpy(x, groups, epsilon=1e-5):
    x = np.asarray(x, np.float64)
    grouped = x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups)
    mean = grouped.mean((1, 3), keepdims=True)
    return ((grouped - mean) / np.sqrt(grouped.var((1, 3), keepdims=True) + epsilon)).reshape(x.shape)


@pytest.mark.parametrize(
    ("channels", "max_groups", "groups"), [(64, 8, 8), (64, 32, 16), (30, 32, 6), (7, 32, 1), (3, 32, 1), (256, 32, 32)]
)
def test_equals_the_definition_for_any_number_of_channels(channels, max_groups, groups):
    x = 3 + 2 * normal(2, 5, 3, channels) * np.arange(1, channels + 1, dtype=np.float32)
    got, _ = jax.jit(GroupNorm(max_groups).init_with_output)(jax.random.key(0), x)
    np.testing.assert_allclose(got, group_norm_in_numpy(x, groups), atol=1e-4)


def test_equals_flax_with_learned_scale_and_bias_in_value_and_gradient():
    x = normal(2, 4, 4, 8)
    params = {"params": {"scale": jnp.linspace(-1, 2, 8), "bias": jnp.linspace(1, 3, 8)}}
    weights = normal(*x.shape, seed=1)

    def loss(net):
        return lambda params, x: (net.apply(params, x) * weights).sum()

    ours, theirs = GroupNorm(2), nn.GroupNorm(2, epsilon=1e-5)
    np.testing.assert_allclose(jax.jit(ours.apply)(params, x), jax.jit(theirs.apply)(params, x), atol=1e-5)
    got, expected = (jax.jit(jax.grad(loss(net), argnums=(0, 1)))(params, x) for net in (ours, theirs))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), got, expected)


def test_scale_and_shift_modulate_per_example():
    x = normal(3, 4, 4, 8)
    scale, shift = normal(2, 3, 8, seed=1)
    params = {"params": {"scale": jnp.linspace(-1, 2, 8), "bias": jnp.linspace(1, 3, 8)}}
    apply = jax.jit(GroupNorm().apply)
    plain, scale, shift = (np.asarray(a) for a in (apply(params, x), scale, shift))
    expected = plain * (1 + scale[:, None, None]) + shift[:, None, None]
    np.testing.assert_allclose(apply(params, x, scale, shift), expected, atol=1e-5)


def test_survives_a_mean_far_above_the_deviation():
    # E[x²] − E[x]² in float32 would lose the unit variance entirely beside 10⁸.
    x = normal(2, 8, 8, 8) + 1e4
    got, _ = jax.jit(GroupNorm().init_with_output)(jax.random.key(1), x)
    np.testing.assert_allclose(got, group_norm_in_numpy(x, 2), atol=5e-3)


def test_bfloat16_input_gets_float32_statistics():
    x = (8 + normal(2, 16, 16, 8)).astype(jnp.bfloat16)
    got, params = jax.jit(GroupNorm().init_with_output)(jax.random.key(0), x)
    assert got.dtype == jnp.bfloat16
    assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(params))
    # Within the rounding of the result itself: bfloat16 statistics would be off by several percent.
    np.testing.assert_allclose(
        got.astype(np.float32), group_norm_in_numpy(x.astype(jnp.float32), 2), rtol=2**-8, atol=1e-3
    )
    assert jax.eval_shape(GroupNorm(dtype=jnp.float32).apply, params, x).dtype == jnp.float32


def test_works_on_vectors_and_constants():
    x = jnp.full((2, 8), 5.0)
    got, _ = jax.jit(GroupNorm().init_with_output)(jax.random.key(0), x)
    np.testing.assert_allclose(got, 0, atol=1e-6)

"""Kernel densities against their definition, scikit-learn and automatic differentiation, near and far."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from oracles import nightly, slow
from sklearn.neighbors import KernelDensity

from jaxgen.score_matching import kernel_density

every_event = pytest.mark.parametrize("event", [(2, 1, 2), slow((4,))])


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def direct(x, points, sigma):
    """log q_σ at one x (*event), with everything at once."""
    square = ((points - x) ** 2).reshape(len(points), -1).sum(-1)
    constant = jnp.log(len(points)) + x.size / 2 * jnp.log(2 * jnp.pi * sigma**2)
    return jax.nn.logsumexp(-0.5 * square / sigma**2) - constant


@every_event
@pytest.mark.parametrize("block", [slow(1), 7, slow(1000)])
def test_kernel_density_is_its_definition_and_its_score_the_gradient(event, block):
    points = jax.random.normal(jax.random.key(0), (33, *event))
    x = 2 * jax.random.normal(jax.random.key(1), (6, *event))
    blocked = jax.jit(lambda sigma: kernel_density(x, points, sigma, block=block))
    at_once = jax.jit(lambda sigma: jax.vmap(jax.value_and_grad(lambda x: direct(x, points, sigma)))(x))
    for sigma in (0.05, 0.4, 3.0):
        found, (value, gradient) = blocked(sigma), at_once(sigma)
        np.testing.assert_allclose(found.log_density, value, rtol=1e-10)
        np.testing.assert_allclose(found.score, gradient, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("bandwidth", [slow(0.1), 0.5, slow(2.0)])
def test_kernel_density_is_that_of_scikit_learn(bandwidth):
    points, x = np.random.default_rng(1).normal(size=(500, 3)), np.random.default_rng(2).normal(size=(40, 3)) * 2
    # one leaf for all points: the bounds of its tree are off by hundreds of nats far out
    estimate = KernelDensity(bandwidth=bandwidth, leaf_size=500).fit(points)
    found = kernel_density(jnp.asarray(x), jnp.asarray(points), bandwidth).log_density
    np.testing.assert_allclose(found, estimate.score_samples(x), rtol=1e-9)


@pytest.mark.slow
def test_a_sigma_for_each_example():
    points, x = jax.random.normal(jax.random.key(0), (20, 3)), jax.random.normal(jax.random.key(1), (4, 3))
    sigmas = jnp.array([0.2, 0.5, 1.0, 4.0])
    together = kernel_density(x, points, sigmas, block=6)
    alone = jax.vmap(lambda x, sigma: kernel_density(x[None], points, sigma))(x, sigmas)
    chex.assert_trees_all_close(together, jax.tree.map(lambda v: v[:, 0], alone), rtol=1e-10)


@nightly("dtype", [jnp.float32, jnp.float64])
def test_kernel_density_far_from_all_points(dtype):
    """At a distance of a thousand and more no kernel is representable, and the nearest points take all the weight."""
    points = jax.random.normal(jax.random.key(0), (300, 2), dtype)
    x = jnp.array([[1e3, 0.0], [-800.0, 900.0], [0.0, -3e4], [2e5, 2e5]], dtype)
    density = jax.jit(lambda x, sigma: kernel_density(x, points, sigma, block=64))
    gradient = jax.jit(jax.grad(lambda x, sigma: kernel_density(x, points, sigma, block=64).log_density.sum()))
    tolerance = 1e-12 if dtype == jnp.float64 else 1e-5
    square = ((np.float64(points) - np.float64(x)[:, None]) ** 2).sum(-1)
    offset = np.float64(points)[square.argmin(-1)] - np.float64(x)
    for sigma in (1e-4, 1e-2, 1.0):
        found = density(x, sigma)
        assert found.score.dtype == found.log_density.dtype == dtype
        log_sum = scipy.special.logsumexp(-square / (2 * sigma**2), axis=-1)
        expected = log_sum - np.log(300) - np.log(2 * np.pi * sigma**2)
        np.testing.assert_allclose(found.log_density, expected, rtol=tolerance)
        # float32 cannot tell apart points that are 10⁻⁷ of the distance apart; all lie within 8 of each other
        slack = 1e-9 if dtype == jnp.float64 and sigma < 1 else 8
        np.testing.assert_array_less(np.abs(found.score * sigma**2 - offset), slack + tolerance * np.abs(offset))
        np.testing.assert_allclose(gradient(x, sigma), found.score, rtol=10 * tolerance)


@pytest.mark.parametrize(("dtype", "reach"), [(jnp.float32, 1e19), slow(jnp.float64, 1e154)])
@pytest.mark.parametrize("sigma", [slow(1e-3), 1.0, slow(1e3)])
def test_kernel_density_at_the_end_of_its_range(dtype, reach, sigma):
    points, x = jnp.zeros((3, 1), dtype), jnp.full((1, 1), reach * sigma, dtype)
    found = kernel_density(x, points, sigma)
    np.testing.assert_allclose(found.log_density, -0.5 * reach**2, rtol=1e-5)
    np.testing.assert_allclose(found.score, -x / sigma / sigma, rtol=1e-5)
    assert not jnp.isfinite(kernel_density(2 * x, points, sigma).log_density)


def test_kernel_density_where_the_square_of_sigma_vanishes():
    points, x = jnp.array([[0.0], [2.0]], jnp.float32), jnp.array([[0.0], [1e-3]], jnp.float32)
    found = kernel_density(x, points, 1e-20)
    np.testing.assert_allclose(found.score[:, 0], [0, -1e37], rtol=1e-5)
    np.testing.assert_allclose(found.log_density[0], -np.log(2e-20) - 0.5 * np.log(2 * np.pi), rtol=1e-5)


@pytest.mark.slow
def test_derivatives_pass_through_the_running_softmax():
    """∇_x log q is the score; ∇_x score, ∇_points and ∇_σ are those of the density written at once."""
    points, x = jax.random.normal(jax.random.key(0), (17, 2)), jax.random.normal(jax.random.key(1), (5, 2))
    blocked = lambda x, points, sigma: kernel_density(x, points, sigma, block=4).log_density.sum()
    at_once = lambda x, points, sigma: jax.vmap(lambda row: direct(row, points, sigma))(x).sum()
    for argument in (0, 1, 2):
        found, expected = (jax.jit(jax.grad(f, argument))(x, points, 0.4) for f in (blocked, at_once))
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    score = lambda x: kernel_density(x, points, 0.4, block=4).score
    hessian = jax.jit(jax.vmap(jax.hessian(lambda row: direct(row, points, 0.4))))(x)
    jacobian = jax.jit(jax.vmap(jax.jacfwd(lambda row: score(row[None])[0])))(x)
    np.testing.assert_allclose(jacobian, hessian, rtol=1e-8, atol=1e-9)


def test_memory_does_not_grow_with_the_number_of_points():
    x = jnp.ones((64, 8))

    def memory(count):
        compiled = jax.jit(kernel_density).lower(x, jnp.ones((count, 8)), 0.5).compile()
        return compiled.memory_analysis().temp_size_in_bytes - 8 * 8 * count  # the points themselves, padded

    assert memory(16_640) < memory(2_050) + 8 * 8 * 256
    assert memory(16_640) < 64 * 16_640 * 8 / 4  # not even one number for each pair


def test_the_gradient_does_not_keep_every_offset():
    x, points = jnp.ones((64, 8)), jnp.ones((16_640, 8))
    loss = lambda x: kernel_density(x, points, 0.5).score.sum()
    temporary = jax.jit(jax.grad(loss)).lower(x).compile().memory_analysis().temp_size_in_bytes
    assert temporary < points.size * 64 * 8 / 8  # x_m − x for every pair would be eight times this

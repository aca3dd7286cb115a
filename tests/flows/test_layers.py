"""Layers and their initialisation, dequantisation and couplings by transport."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import slow
from scipy.optimize import linear_sum_assignment

from jaxgen import data, diffusion, distributions, flows, metrics, nets

KEY = jax.random.key(0)


def test_actnorm_standardises_the_first_batch():
    x = 3 + 2 * jax.random.normal(KEY, (50, 4, 4, 3)) * jnp.array([1.0, 5.0, 0.1])
    z, log_det = flows.actnorm(flows.init_actnorm(x)).forward(x)
    np.testing.assert_allclose(z.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(z.std((0, 1, 2)), 1, rtol=1e-4)
    np.testing.assert_allclose(log_det, -16 * np.log(np.std(x, (0, 1, 2))).sum(), rtol=1e-4)
    constant = flows.init_actnorm(jnp.ones((5, 2)))
    assert np.isfinite(flows.actnorm(constant).forward(jnp.ones((5, 2)))[0]).all()


def test_lu_linear_is_the_matrix_product():
    rng = np.random.default_rng(0)
    params = flows.LULinearParams(rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), rng.normal(size=3))
    matrix = (np.tril(params.lower, -1) + np.eye(3)) @ (np.triu(params.upper, 1) + np.diag(np.exp(params.log_diagonal)))
    x = rng.normal(size=(2, 5, 3))
    z, log_det = flows.lu_linear(params).forward(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(z, x @ matrix.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_det, 5 * np.linalg.slogdet(matrix)[1], rtol=1e-5)
    x = jnp.asarray(x, jnp.float32)
    np.testing.assert_array_equal(flows.lu_linear(flows.init_lu_linear(3)).forward(x)[0], x)


def test_permutation_and_masks():
    x = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(flows.permutation([2, 0, 1]).forward(x)[0], [[2, 0, 1], [5, 3, 4]])
    np.testing.assert_array_equal(flows.checkerboard_mask((3,)), [True, False, True])
    mask = flows.checkerboard_mask((2, 2, 3), flip=True)
    np.testing.assert_array_equal(mask[..., 1], [[False, True], [True, False]])
    assert mask.shape == (2, 2, 3)


def test_squeeze_takes_each_block_into_the_channels():
    x = jnp.arange(32.0).reshape(1, 4, 4, 2)
    z, _ = flows.squeeze().forward(x)
    assert z.shape == (1, 2, 2, 8)
    np.testing.assert_array_equal(z[0, 0, 1], np.asarray(x[0, :2, 2:]).ravel())


def test_multi_scale_latents_leave_level_by_level():
    """The first level's second half of the channels, then what is left."""
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    z, _ = flows.multi_scale([flows.squeeze(), flows.scale_and_shift(1.0, 100.0)], (4, 4, 1)).forward(x)
    squeezed = np.asarray(flows.squeeze().forward(x)[0])
    np.testing.assert_array_equal(z[0], np.concatenate([squeezed[..., 2:].ravel(), 100 + squeezed[..., :2].ravel()]))


def test_glow_begins_with_latents_of_mean_0_and_variance_1():
    x = 5 + 3 * jax.random.normal(KEY, (64, 4, 4, 1))
    net = nets.ConvConditioner(outputs=2, channels=4)
    model = flows.glow(net.init, net.apply, (4, 4, 1), levels=2, steps=2)
    params = model.init(KEY, x)
    z, log_det = model.bijection(params).forward(x)
    assert z.shape == (64, 16)
    np.testing.assert_allclose(z.mean(), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(), 1, rtol=0.05)
    np.testing.assert_allclose(log_det, -16 * np.log(3), rtol=0.05)  # affine at first
    assert len(params) == 2
    assert params[1][0].linear.lower.shape == (8, 8)  # 2 channels stay of 4, and are squeezed
    # a restored checkpoint holds lists
    lists = jax.tree.map(lambda leaf: leaf, [[list(step) for step in level] for level in params])
    np.testing.assert_array_equal(model.bijection(lists).forward(x)[0], z)


# -- networks ----------------------------------------------------------------------------------------------------------


def ones(net, *inputs):
    """Parameters of 1, without compiling an `init`."""
    return jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), jax.eval_shape(net.init, KEY, *inputs))


@pytest.mark.parametrize("case", [(5, (8, 9)), slow((1, (4,))), slow((2, (4,))), slow((3, ()))])
def test_made_is_autoregressive(case):
    dims, hidden = case
    net, x = nets.MADE(outputs=2, hidden=hidden), jnp.ones((1, dims))
    params = ones(net, x)
    jacobian = jax.jit(jax.jacobian(lambda x: net.apply(params, x)[0]))(x)
    assert jacobian.shape == (dims, 2, 1, dims)
    depends = np.abs(jacobian[:, :, 0]).min(1) > 0
    np.testing.assert_array_equal(depends, np.tril(np.ones((dims, dims), bool), -1))


@pytest.mark.parametrize("name", ["made", slow("convolutions"), slow("mlp")])
def test_conditioners_are_zero_at_first_and_take_a_condition(name):
    net, inputs, shape = {
        "convolutions": (nets.ConvConditioner(2, 4), (jnp.ones((2, 4, 4, 3)), jnp.ones((2, 4, 4, 1))), (2, 4, 4, 6)),
        "mlp": (nets.MLPConditioner(7, (5,)), (jnp.ones((2, 3)), jnp.ones((2, 2))), (2, 7)),
        "made": (nets.MADE(3, (8,)), (jnp.ones((2, 4)), jnp.ones((2, 2))), (2, 4, 3)),
    }[name]
    out, params = jax.jit(net.init_with_output)(KEY, *inputs)
    assert out.shape == shape
    np.testing.assert_array_equal(out, 0)
    assert jax.tree.structure(params) == jax.tree.structure(ones(net, *inputs))
    slope = jax.jit(jax.grad(lambda c: net.apply(ones(net, *inputs), inputs[0], c).sum()))(inputs[1])
    assert np.abs(slope).min() > 0


def test_networks_refuse(unchecked):
    for net, x, message in (
        (nets.MADE(2, (3,)), jnp.ones((2, 8)), "hidden layers need 7 units or more"),
        (nets.MADE(2), jnp.ones((2, 2, 2)), r"expected x of shape \(b, d\)"),
        (nets.MLPConditioner(2), jnp.ones((2, 2), jnp.int32), "expected floating-point x"),
        (nets.ConvConditioner(2), jnp.ones((2, 2)), "expected a batch of images"),
    ):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(net.init, KEY, x)


# -- dequantisation ----------------------------------------------------------------------------------------------------


class Linear:
    """The density 2y of [0, 1], per coordinate."""

    def log_density(self, y):
        return jnp.where((y > 0) & (y < 1), jnp.log(2 * y), -jnp.inf).reshape(len(y), -1).sum(-1)

    def sample(self, key, shape):
        return jnp.sqrt(jax.random.uniform(key, shape))


def test_dequantisation_bounds_the_probability_of_the_levels():
    """P(x = k) = (2k + 1)/16 of four levels; the bound of u uniform is E log, and many draws reach log P."""
    images = np.repeat(np.arange(4, dtype=np.uint8), 500)[:, None]
    exact = np.log((2 * images[:, 0] + 1) / 16)
    means = lambda values: np.asarray(values).reshape(4, 500).mean(1)
    bound = means(flows.dequantised_bound(KEY, Linear(), images, levels=4))
    u = (np.arange(10_000) + 0.5) / 10_000
    for k in range(4):
        np.testing.assert_allclose(bound[k], np.log(2 * (k + u) / 4).mean() - np.log(4), atol=0.15)
    assert (bound < means(exact)).all()
    tight = means(flows.dequantised_bound(KEY, Linear(), images, levels=4, samples=200))
    np.testing.assert_allclose(tight, means(exact), atol=0.02)


def test_variational_dequantisation_reaches_the_probability_with_the_posterior():
    """q(u|x) ∝ x + u makes the bound exact: u = (√(x² + (2x + 1) v) − x) of v uniform."""

    def posterior(y):
        k = 4 * y
        forward = lambda logit_u: _normal(_cdf(jax.nn.sigmoid(logit_u), k))
        inverse = lambda z: _logit(_quantile(jax.scipy.stats.norm.cdf(z), k))
        return flows.elementwise(forward, inverse)

    images = np.repeat(np.arange(4, dtype=np.uint8), 50)[:, None]
    dequantiser = flows.variational_dequantiser(posterior, distributions.standard_normal())
    bound = flows.dequantised_bound(KEY, Linear(), images, levels=4, dequantiser=dequantiser)
    np.testing.assert_allclose(bound, np.log((2 * images[:, 0] + 1) / 16), atol=2e-3)


def _normal(p):
    return jax.scipy.stats.norm.ppf(p)


def _logit(u):
    return jnp.log(u) - jnp.log1p(-u)


def _cdf(u, k):
    return ((k + u) ** 2 - k**2) / (2 * k + 1)


def _quantile(v, k):
    return jnp.sqrt(k**2 + (2 * k + 1) * v) - k


def test_a_uniform_density_has_8_bits():
    class Uniform:
        def log_density(self, y):
            return jnp.where((y > 0) & (y < 1), 0.0, -jnp.inf).reshape(len(y), -1).sum(-1)

        def sample(self, key, shape):
            return jax.random.uniform(key, shape)

    images = data.render_digits(3, 8).images
    bound = flows.dequantised_bound(KEY, Uniform(), images, levels=256)
    np.testing.assert_allclose(metrics.bits_per_dim(bound, 64), 8, rtol=1e-6)


# -- flow matching -----------------------------------------------------------------------------------------------------


def test_noise_by_transport_is_the_cheapest_permutation():
    x, noise = jax.random.normal(KEY, (2, 6, 2, 2))
    cost = ((np.asarray(x)[:, None] - np.asarray(noise)[None]) ** 2).sum((2, 3))
    exact = np.asarray(noise)[linear_sum_assignment(cost)[1]]
    np.testing.assert_array_equal(flows.transport_noise(x, noise), exact)
    np.testing.assert_array_equal(jax.jit(flows.transport_noise)(x, noise), exact)
    assert sorted(np.ravel(exact)) == sorted(np.ravel(noise))


def test_flow_matching_is_the_rectified_flows_loss_at_the_noise_that_is_given(unchecked):
    """dx_t/dt = ε − x0, whatever t is; the coupling is that of the noise."""
    x = jax.random.normal(KEY, (6, 2))
    noise = flows.transport_noise(x, jax.random.normal(jax.random.key(1), (6, 2)))
    process = diffusion.rectified_flow()
    losses = diffusion.denoising_loss(KEY, process, lambda x, t, cond: 0 * x, x, predicts="velocity", noise=noise)
    np.testing.assert_allclose(losses, ((noise - x) ** 2).mean(-1), rtol=1e-5)
    with pytest.raises(ValueError, match="noise must have x0's shape"):
        diffusion.denoising_loss(KEY, process, lambda x, t, cond: 0 * x, x, noise=noise[:2])


def test_images_that_a_compiled_function_holds_are_checked_too():
    """Within jit, an operation of a concrete array is traced, and its values are known all the same."""
    images = jnp.array([[0], [3]], jnp.uint8)
    linear = Linear()

    def bound(key, levels):
        return flows.dequantised_bound(key, linear, images, levels=levels)

    compiled = jax.jit(bound, static_argnums=1)(KEY, 4)
    np.testing.assert_allclose(compiled, bound(KEY, 4), rtol=1e-5)
    with pytest.raises(ValueError, match="images of 3 levels have values 0 to 2, got 0 to 3"):
        jax.jit(bound, static_argnums=1)(KEY, 3)

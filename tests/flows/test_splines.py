"""Rational-quadratic splines: identity at zero, continuity at the tails, slopes by autodiff, and flowjax's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import flows

BINS, BOUND = 6, 2.0
RNG = np.random.default_rng(0)
PARAMS = 1.5 * RNG.standard_normal((40, 3 * BINS - 1))
SPLINE = flows.spline_map(BINS, BOUND)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def test_zero_parameters_are_the_identity():
    x = np.linspace(-3, 3, 200)
    for function in (SPLINE.forward, SPLINE.inverse):
        value, log_slope = function(jnp.zeros((200, SPLINE.size)), jnp.asarray(x))
        np.testing.assert_allclose(value, x, atol=1e-14)
        np.testing.assert_allclose(log_slope, 0, atol=1e-14)


def test_the_affine_map_of_zero_parameters_is_the_identity_and_its_scale_is_bounded():
    x = jnp.linspace(-3, 3, 7)
    for largest in (1 + np.exp(-2), 2.0, 5.0):
        value, log_slope = flows.affine_map(largest).forward(jnp.zeros((7, 2)), x)
        np.testing.assert_allclose(value, x, atol=1e-14)
        raw = jnp.stack([jnp.linspace(-40, 40, 7), jnp.zeros(7)], -1)
        _, log_slope = flows.affine_map(largest).forward(raw, x)
        assert np.exp(log_slope).max() <= largest * (1 + 1e-12)
        assert (np.diff(log_slope) >= 0).all()
    # Glow's sigmoid(a + 2), up to its value at a = 0
    _, log_slope = flows.affine_map(1 + np.exp(-2)).forward(raw, x)
    glow = jax.nn.log_sigmoid(raw[:, 0] + 2) - jax.nn.log_sigmoid(2.0)
    np.testing.assert_allclose(log_slope, glow, atol=1e-12)


@pytest.mark.parametrize("end", [-BOUND, BOUND])
def test_value_and_log_slope_are_continuous_at_the_tails_and_the_tails_are_the_identity(end):
    params, step = jnp.asarray(PARAMS), 1e-12
    for function in (SPLINE.forward, SPLINE.inverse):
        at = [function(params, jnp.full(len(params), end + shift)) for shift in (-step, 0.0, step)]
        for value, log_slope in at:
            np.testing.assert_allclose(value, end, atol=2e-8)
            np.testing.assert_allclose(log_slope, 0, atol=1e-5)
        value, log_slope = function(params, jnp.full(len(params), 3 * end))
        np.testing.assert_array_equal(value, 3 * end)
        np.testing.assert_array_equal(log_slope, 0)


def test_the_slope_is_that_of_autodiff_and_positive_and_the_inverse_inverts():
    params = jnp.asarray(PARAMS)
    x = jnp.asarray(RNG.uniform(-BOUND, BOUND, len(params)))
    value, slope = jax.jvp(lambda x: SPLINE.forward(params, x)[0], (x,), (jnp.ones_like(x),))
    z, log_slope = SPLINE.forward(params, x)
    np.testing.assert_allclose(np.exp(log_slope), slope, rtol=1e-10)
    assert (np.asarray(slope) > 0).all()
    back, back_log_slope = SPLINE.inverse(params, z)
    np.testing.assert_allclose(back, x, atol=1e-11)
    np.testing.assert_allclose(back_log_slope, -log_slope, atol=1e-9)
    assert np.abs(np.asarray(value) - np.asarray(x)).max() > 0.5


def test_steep_and_flat_bins_keep_their_digits_in_float32():
    """Raw slopes up to ±12 give bins in which b of the quadratic equation is negative, where one root cancels."""
    params = jnp.asarray(RNG.uniform(-12, 12, (2000, SPLINE.size)), jnp.float32)
    z = jnp.asarray(RNG.uniform(-BOUND, BOUND, 2000), jnp.float32)
    x, _ = SPLINE.inverse(params, z)
    exact, _ = SPLINE.inverse(jnp.asarray(params, jnp.float64), jnp.asarray(z, jnp.float64))
    slope = np.exp(np.asarray(SPLINE.inverse(jnp.asarray(params, jnp.float64), jnp.asarray(z, jnp.float64))[1]))
    # rounding of z moves x by the inverse's slope
    assert np.median(np.abs(x - exact)) < 1e-6
    assert (np.abs(x - exact) < 1e-5 * (1 + np.minimum(slope, 1e4))).mean() > 0.99


def test_gradients_are_finite_in_the_bins_at_the_knots_and_in_the_tails():
    params = jnp.asarray(PARAMS[:5])
    knots = flows.spline_knots(params, BOUND)
    for function, edges in ((SPLINE.forward, knots.x), (SPLINE.inverse, knots.y)):
        total = lambda params, x, function=function: sum(part.sum() for part in function(params, x))
        x = jnp.concatenate([edges.T, jnp.full((1, 5), -3.0), jnp.full((1, 5), 0.1)])
        gradients = jax.jit(jax.vmap(jax.grad(total, (0, 1)), (None, 0)))(params, x)
        assert all(np.isfinite(leaf).all() for leaf in gradients)


def test_the_knots_are_in_order_and_end_at_the_bound():
    knots = flows.spline_knots(jnp.asarray(20 * PARAMS), BOUND)
    for edges in (knots.x, knots.y):
        assert (np.diff(edges) > 0.999e-3 * 2 * BOUND).all()
        np.testing.assert_array_equal(edges[:, [0, -1]], np.broadcast_to([-BOUND, BOUND], (40, 2)))
    assert (np.asarray(knots.slope) >= 1e-3).all()
    np.testing.assert_array_equal(knots.slope[:, [0, -1]], 1)


def test_flowjax_has_the_same_spline():
    bijections = pytest.importorskip("flowjax.bijections", reason="needs the extra peers")
    equinox, paramax = (pytest.importorskip(name) for name in ("equinox", "paramax"))
    peer = paramax.unwrap(bijections.RationalQuadraticSpline(knots=BINS, interval=BOUND))
    x = jnp.linspace(-3, 3, 101)
    for row in PARAMS[:5]:
        knots = flows.spline_knots(jnp.asarray(row), BOUND)
        where = lambda spline: (spline.x_pos, spline.y_pos, spline.derivatives)
        same = equinox.tree_at(where, peer, tuple(knots))
        value, log_slope = jax.vmap(same.transform_and_log_det)(x)
        each = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (101, BINS + 1)), knots)
        found, found_log_slope = flows.rational_quadratic(each, x)
        np.testing.assert_allclose(found, value, atol=1e-12)
        np.testing.assert_allclose(found_log_slope, log_slope, atol=1e-10)
        back, back_log_slope = jax.vmap(same.inverse_and_log_det)(x)
        found, found_log_slope = flows.rational_quadratic_inverse(each, x)
        np.testing.assert_allclose(found, back, atol=1e-10)
        np.testing.assert_allclose(found_log_slope, back_log_slope, atol=1e-8)

"""Every bijection: its inverse, its log-determinant by autodiff, its density by quadrature and by its own draws."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bijection_law import CASES, check, field, made, plane, points
from oracles import siblings_slow, slow

from jaxgen import core, distributions, flows

TIGHT = {"controller": diffrax.PIDController(rtol=1e-10, atol=1e-10), "solver": diffrax.Dopri8()}
TIGHT["adjoint"] = diffrax.ForwardMode()
SPLINE, AFFINE = flows.spline_map(bins=5, bound=2.0), flows.affine_map()


@pytest.mark.parametrize("name", CASES)
def test_float64(name):
    bijection, event, limits = CASES[name]
    with jax.enable_x64(True):
        check(bijection, jnp.asarray(points(event, limits)), 1e-10)


@pytest.mark.parametrize("name", siblings_slow(CASES, "spline coupling", "masked autoregressive", "logit"))
def test_float32(name):
    bijection, event, limits = CASES[name]
    check(bijection, jnp.asarray(points(event, limits), jnp.float32), 1e-5)


def test_a_continuous_flow_and_its_estimated_log_determinant():
    """The solver's tolerance bounds the errors; Hutchinson's estimate is unbiased."""
    with jax.enable_x64(True):
        x = jnp.asarray(points((3,), (-2, 2), n=4))
        exact = flows.continuous(field, **TIGHT)
        z = check(exact, x, 1e-7)
        assert np.abs(z - x).max() > 0.3  # it moves
        n = 2000
        keys = jax.random.split(jax.random.key(0), n)
        same = jnp.repeat(x[:1], n, axis=0)
        estimated = flows.continuous(field, divergence=core.hutchinson(keys, (3,)))
        _, log_det = jax.jit(estimated.forward)(same)
        error = log_det.std() / np.sqrt(n)
        assert 0 < error < 0.05
        assert abs(log_det.mean() - exact.forward(x[:1])[1][0]) < 4 * error


GENTLE = {"dims": 2, "scale": 0.3}
PLANE = {
    "spline coupling": lambda: flows.chain(
        [plane(SPLINE, **GENTLE), flows.permutation([1, 0]), plane(SPLINE, **GENTLE)]
    ),
    "affine coupling": lambda: flows.chain([plane(AFFINE, **GENTLE), plane(AFFINE, flip=True, **GENTLE)]),
    "masked autoregressive": lambda: flows.masked_autoregressive(made(SPLINE, **GENTLE), SPLINE),
    "inverse autoregressive": lambda: flows.inverse_autoregressive(made(AFFINE, **GENTLE), AFFINE),
    "elementwise": lambda: flows.chain([flows.elementwise(jnp.sinh, jnp.arcsinh), plane(AFFINE, **GENTLE)]),
    "continuous": lambda: flows.continuous(rotation),
}


def rotation(x, t):
    """A field of the plane that turns, stretches and bends."""
    return jnp.stack([-x[:, 1] + 0.5 * jnp.tanh(x[:, 0]), (1 + t) * jnp.sin(x[:, 0])], axis=-1)


@pytest.mark.parametrize("name", [slow(name) if name == "continuous" else name for name in PLANE])
def test_the_density_is_normalised_and_that_of_the_draws(name):
    """Quadrature by midpoints in the plane, and E_p[u/p] = 1 of a uniform density u inside."""
    flow, half, cells, n = flows.Flow(PLANE[name](), distributions.standard_normal()), 10.0, 500, 4000
    assert isinstance(flow, distributions.Distribution)
    side = 2 * half / cells
    axis = (np.arange(cells) + 0.5) * side - half
    grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), jnp.float32)

    @jax.jit
    def found(key, grid):
        x, log_p = flow.sample_with_log_density(key, (n, 2))
        return flow.log_density(grid), x, log_p, flow.log_density(x)

    density, x, log_p, again = found(jax.random.key(0), grid)
    assert abs(np.exp(np.float64(density)).sum() * side**2 - 1) < 2e-3
    np.testing.assert_allclose(log_p, again, atol=1e-3)
    inside = np.all(np.abs(np.asarray(x)) < 0.5, axis=-1)
    weights = np.where(inside, np.exp(-np.float64(log_p)), 0)
    error = weights.std() / np.sqrt(n)
    assert abs(weights.mean() - 1) < 4 * error
    assert error < 0.15


def test_a_flow_trains_and_compiles_once_under_vmap_and_grad():
    """The gradient of the mean log-density by a shift of the data: a bijection made inside the loss."""
    x = jnp.asarray(points((2,), (-2, 2)), jnp.float32)

    def loss(shift):
        flow = flows.Flow(flows.scale_and_shift(2.0, shift), distributions.standard_normal())
        return -flow.log_density(x).mean()

    value, slope = jax.jit(jax.vmap(jax.value_and_grad(loss)))(jnp.array([0.0, 0.5]))
    z = 2 * np.asarray(x)[None] + np.array([0.0, 0.5])[:, None, None]
    np.testing.assert_allclose(slope, z.sum(-1).mean(-1), rtol=1e-5)
    exact = (0.5 * z**2 + 0.5 * np.log(2 * np.pi)).sum(-1).mean(-1) - 2 * np.log(2)
    np.testing.assert_allclose(value, exact, rtol=1e-5)


def test_temperature():
    """T z has the density p(z/T)/T^d; of a flow with constant log-determinant it is p(x)^(1/T²) up to a constant."""
    flow = flows.Flow(flows.scale_and_shift(2.0, 1.0), distributions.standard_normal())
    cold = flows.tempered(flow, 0.5)
    x = jnp.asarray(points((2,), (-2, 2)), jnp.float32)
    exact = distributions.Gaussian(jnp.full(2, -0.5), jnp.full(2, 0.25))
    np.testing.assert_allclose(cold.log_density(x), exact.log_density(x), rtol=1e-5)
    ratio = cold.log_density(x) - 4 * flow.log_density(x)
    np.testing.assert_allclose(ratio, np.full(5, ratio[0]), rtol=1e-4)
    draws = cold.sample(jax.random.key(0), (4000, 2))
    np.testing.assert_allclose(draws.mean(0), -0.5, atol=0.02)
    np.testing.assert_allclose(draws.std(0), 0.25, rtol=0.05)
    with pytest.raises(ValueError, match="temperature must be positive"):
        flows.tempered(flow, 0.0)


def test_an_autoregressive_inverse_is_differentiable():
    bijection = flows.masked_autoregressive(made(AFFINE), AFFINE)
    x = jnp.asarray(points((3,), (-1, 1)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda x: bijection.inverse(bijection.forward(x)[0])[0].sum()))(x)
    np.testing.assert_allclose(gradient, 1, atol=1e-4)


# -- refusals ----------------------------------------------------------------------------------------------------------

X, IMAGE = jnp.zeros((2, 3)), jnp.zeros((2, 4, 4, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flows.chain([]).forward(jnp.zeros(3)), "a bijection maps a batch"),
        (lambda: flows.logit(0.5), r"margin must lie in \[0, 0.5\)"),
        (lambda: flows.scale_and_shift(0.0), "not 0, got 0.0: a factor of 0 has no inverse"),
        (
            lambda: flows.actnorm(flows.init_actnorm(jnp.ones((2, 4)))).forward(X),
            "has parameters of 4 channels",
        ),
        (lambda: flows.permutation([0, 0, 1]), "each of 0 … c−1 once"),
        (lambda: flows.permutation([1, 0]).forward(X), "permutation is of 2 channels"),
        (lambda: flows.lu_linear(flows.init_lu_linear(2)).forward(X), "linear map is of 2 channels"),
        (lambda: flows.init_lu_linear(0), "channels must be at least 1"),
        (lambda: flows.affine_map(1.0), "largest must be above 1"),
        (lambda: flows.spline_map(bins=0), "bins must be at least 1"),
        (lambda: flows.spline_map(bound=-1.0), "bound must be positive"),
        (lambda: flows.spline_map(bins=4, smallest=0.25), "smallest must be below 1/bins = 0.25"),
        (lambda: flows.coupling(lambda x: x, AFFINE).forward(jnp.zeros((2, 1))), "two entries or more"),
        (lambda: flows.coupling(lambda x: x, AFFINE).forward(X), "must return 2 parameters for each of 2 numbers"),
        (lambda: flows.masked_coupling(lambda x: x, AFFINE, np.ones(3, bool)), "with both True"),
        (lambda: flows.masked_coupling(lambda x: x, AFFINE, np.arange(2) > 0).forward(X), r"the mask has shape \(2,\)"),
        (lambda: flows.masked_autoregressive(lambda x: x, AFFINE).forward(X), "must return 2 parameters for each of 3"),
        (lambda: flows.squeeze(0), "factor must be at least 1"),
        (lambda: flows.squeeze(3).forward(IMAGE), "sides divisible by 3"),
        (lambda: flows.squeeze().inverse(IMAGE), "channels divisible by 4"),
        (lambda: flows.multi_scale([], (4, 4, 1)), "at least one level"),
        (lambda: flows.multi_scale([flows.squeeze()], (4, 4, 1)).forward(X), r"examples must have shape \(4, 4, 1\)"),
        (lambda: flows.multi_scale([flows.squeeze()], (4, 4, 1)).inverse(X), r"latents must have shape \(16,\)"),
        (lambda: flows.multi_scale([flows.chain([])] * 2, (4, 4, 1)).forward(IMAGE), "a split needs two channels"),
        (lambda: flows.continuous(lambda x, t: x[:, :1]).forward(X), "velocity must have the shape of x"),
        (lambda: flows.glow(None, None, (6, 6, 1), levels=2), "6 × 6 is not divisible"),
        (lambda: flows.transport_noise(X, X[:1]), "must have one shape"),
        (lambda: flows.dequantised_bound(jax.random.key(0), None, IMAGE, levels=1), "levels must be at least 2"),
        (lambda: flows.dequantised_bound(jax.random.key(0), None, IMAGE, samples=0), "samples must be at least 1"),
        (lambda: flows.dequantised_bound(jax.random.key(0), None, IMAGE), "images must be integers"),
        (
            lambda: flows.dequantised_bound(jax.random.key(0), None, np.array([[9]]), levels=8),
            "8 levels have values 0 to 7",
        ),
        (lambda: flows.chain([]).forward(np.zeros((2, 3), np.uint8)), "data must be floating point"),
        (
            lambda: flows.Flow(
                flows.Bijection(lambda x: (x[:, :1], x[:, 0]), lambda z: (z, z[:, 0])), distributions.standard_normal()
            ).sample(jax.random.key(0), (2, 3)),
            "it is no bijection",
        ),
    ],
)
def test_bad_input_is_refused(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()

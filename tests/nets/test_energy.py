"""Energy networks: shapes, times, spectral norms, smoothness, and no example that depends on another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refuses

from jaxgen.nets import EnergyMLP, ResidualEnergy

RNG = np.random.default_rng(0)
X, POINTS = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((4, 8, 8, 2), (4, 2)))
T = jnp.array([0.25, 0.5, 0.75, 1.0])
NETS = {"mlp": (EnergyMLP((9, 7)), POINTS), "residual": (ResidualEnergy(4), X)}


@pytest.mark.parametrize("name", NETS)
def test_every_parameter_matters_and_examples_do_not_mix(name, random_params, check_parameters_matter):
    net, x = NETS[name]
    params, apply = random_params(net, x, T), jax.jit(net.apply)
    check_parameters_matter(lambda params: apply(params, x, T), params)
    out = apply(params, x, T)
    assert out.shape == (4,)
    others = apply(params, x.at[1:].multiply(-0.7), T.at[1:].set(0.1))
    np.testing.assert_allclose(others[0], out[0], rtol=1e-4, atol=1e-5)
    # the force is smooth: it changes little over a small step, also across zeros of the hidden units
    force = jax.jit(jax.grad(lambda x: net.apply(params, x, T).sum()))
    path = jnp.linspace(-1, 1, 201)[:, None]
    along = jax.vmap(lambda shift: force(x + shift).sum())(path.reshape(-1, 1, *(1,) * (x.ndim - 1)))
    jumps = np.abs(np.diff(along, 2)).max()
    assert jumps < 0.02 * np.ptp(along) + 1e-3


def test_it_starts_at_zero_and_takes_events_of_any_shape():
    for net, x in ((EnergyMLP(), jnp.ones((3, 4, 5))), (EnergyMLP((4,)), jnp.ones((3, 2), jnp.bfloat16))):
        out, _ = net.init_with_output(jax.random.key(0), x)
        assert out.shape == (3,)
        assert out.dtype == jnp.float32
        assert (out == 0).all()
    for side in (16, 28):
        out = jax.eval_shape(ResidualEnergy(4).init_with_output, jax.random.key(0), jnp.zeros((3, side, side, 1)))[0]
        assert out.shape == (3,)


@pytest.mark.parametrize("name", ["mlp", pytest.param("residual", marks=pytest.mark.slow)])
def test_spectral_norm_bounds_the_slope(name):
    """After many power iterations each kernel has norm 1; SiLU's slope is at most 1.1."""
    net, x = {
        "mlp": (EnergyMLP((16, 16), spectral_norm=True), POINTS),
        "residual": (ResidualEnergy(4, spectral_norm=True), X),
    }[name]
    variables = net.init(jax.random.key(0), x)
    params = jax.tree.map(lambda p: 5 * p, variables["params"])
    update = jax.jit(
        lambda stats: net.apply(
            {"params": params, "batch_stats": stats}, x, update_stats=True, mutable=["batch_stats"]
        )[1]
    )
    stats = variables["batch_stats"]
    for _ in range(30):
        stats = update(stats)["batch_stats"]
    slope = jax.jit(jax.grad(lambda x: net.apply({"params": params, "batch_stats": stats}, x).sum()))(x)
    assert np.isfinite(slope).all()
    if name == "mlp":
        assert np.linalg.norm(slope, axis=-1).max() < 1.1**2 * 1.05


def test_refusals():
    refuses(
        ("floating-point", lambda: EnergyMLP().init(jax.random.key(0), jnp.zeros((2, 2), int))),
        ("one noise level per example", lambda: EnergyMLP().init(jax.random.key(0), POINTS, jnp.zeros(3))),
        ("cannot be halved", lambda: ResidualEnergy().init(jax.random.key(0), jnp.zeros((1, 5, 5, 1)))),
    )

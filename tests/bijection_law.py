"""What every bijection obeys, and bijections of every kind with parameters drawn at random."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import flows, nets

KEY = jax.random.key(0)


def drawn(net, *inputs, scale=0.5, seed=0):
    """Random float64 parameters of a network."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(net.init, KEY, *(jnp.asarray(x, jnp.float32) for x in inputs))
    return jax.tree.map(lambda leaf: scale * rng.standard_normal(leaf.shape), shapes)


def network(net, *inputs, **options):
    """A network as a function of x, with random parameters."""
    params = drawn(net, *inputs, **options)
    return lambda x: net.apply(jax.tree.map(lambda leaf: jnp.asarray(leaf, x.dtype), params), x)


class Field(nn.Module):
    """A smooth velocity field."""

    @nn.compact
    def __call__(self, x, t):
        hidden = jnp.concatenate([x, jnp.broadcast_to(t, (len(x), 1)).astype(x.dtype)], axis=-1)
        return nn.Dense(x.shape[-1])(jnp.tanh(nn.Dense(8)(hidden)))


RNG = np.random.default_rng(1)
LU = flows.LULinearParams(*(0.3 * RNG.standard_normal(shape) for shape in ((4, 4), (4, 4), (4,))))
POINT = np.zeros((1, 3))
IMAGE = np.zeros((1, 4, 4, 1))
SPLINE, AFFINE = flows.spline_map(bins=4, bound=2.0), flows.affine_map()


def plane(scalar_map, flip=False, dims=3, scale=0.5):
    mapped = dims // 2 if flip else dims - dims // 2
    net = nets.MLPConditioner(mapped * scalar_map.size, (8,))
    return flows.coupling(network(net, np.zeros((1, dims - mapped)), scale=scale), scalar_map, flip=flip)


def made(scalar_map, dims=3, scale=0.5):
    return network(nets.MADE(scalar_map.size, (8, 8)), np.zeros((1, dims)), scale=scale)


def small_glow():
    """Two levels of two steps on 4 × 4 pixels, away from the initialisation."""
    net = nets.ConvConditioner(outputs=2, channels=4)
    model = flows.glow(net.init, net.apply, (4, 4, 1), levels=2, steps=2)
    shapes = jax.eval_shape(model.init, KEY, jnp.zeros((2, 4, 4, 1)))
    rng = np.random.default_rng(2)
    params = jax.tree.map(lambda leaf: 0.2 * rng.standard_normal(leaf.shape), shapes)

    def at(dtype):
        return model.bijection(jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params))

    return flows.Bijection(lambda x: at(x.dtype).forward(x), lambda z: at(z.dtype).inverse(z))


FIELD = drawn(Field(), POINT, np.zeros(()), scale=0.7)


def field(x, t):
    return Field().apply(jax.tree.map(lambda leaf: jnp.asarray(leaf, x.dtype), FIELD), x, t)


# name: (bijection, event shape, the interval that holds the data)
CASES = {
    "elementwise": (flows.elementwise(jnp.sinh, jnp.arcsinh), (3,), (-2, 2)),
    "scale_and_shift": (flows.scale_and_shift(np.array([2.0, -0.5, 3.0]), 0.3), (3,), (-2, 2)),
    "logit": (flows.logit(0.05), (3,), (0, 1)),
    "logit without margin": (flows.logit(), (3,), (0.01, 0.99)),
    "actnorm": (flows.actnorm(flows.ActnormParams(np.array([0.3, -0.7]), np.array([1.0, 2.0]))), (2, 2, 2), (-2, 2)),
    "permutation": (flows.permutation([2, 0, 1]), (3,), (-2, 2)),
    "lu_linear": (flows.lu_linear(LU), (2, 2, 4), (-2, 2)),
    "affine coupling": (plane(AFFINE), (3,), (-2, 2)),
    "affine coupling, flipped": (plane(AFFINE, flip=True), (3,), (-2, 2)),
    "spline coupling": (plane(SPLINE), (3,), (-3, 3)),
    "masked coupling": (
        flows.masked_coupling(
            network(nets.ConvConditioner(SPLINE.size, 4), IMAGE), SPLINE, flows.checkerboard_mask((4, 4, 1))
        ),
        (4, 4, 1),
        (-3, 3),
    ),
    "masked autoregressive": (flows.masked_autoregressive(made(AFFINE), AFFINE), (3,), (-2, 2)),
    "autoregressive spline": (flows.masked_autoregressive(made(SPLINE, 4), SPLINE), (2, 2), (-3, 3)),
    "inverse autoregressive": (flows.inverse_autoregressive(made(AFFINE), AFFINE), (3,), (-2, 2)),
    "squeeze": (flows.squeeze(), (4, 4, 1), (-2, 2)),
    "multi_scale": (
        flows.multi_scale([flows.squeeze(), flows.chain([flows.squeeze(), flows.scale_and_shift(2.0)])], (4, 4, 1)),
        (4, 4, 1),
        (-2, 2),
    ),
    "glow": (small_glow(), (4, 4, 1), (-2, 2)),
    "chain": (
        flows.chain([flows.logit(0.05), flows.permutation([2, 1, 0]), plane(SPLINE)]),
        (3,),
        (0, 1),
    ),
    "invert": (flows.invert(flows.scale_and_shift(2.0, 1.0)), (3,), (-2, 2)),
    "empty chain": (flows.chain([]), (3,), (-2, 2)),
}


def points(event, limits, n=5, seed=0):
    """Data (n, *event), uniform between the limits, float64."""
    return np.random.default_rng(seed).uniform(*limits, (n, *event))


def check(bijection, x, tolerance):
    """inverse ∘ forward = identity, both log-determinants are opposite, and slogdet of autodiff's Jacobian."""

    @jax.jit
    def found(x):
        z, log_det = bijection.forward(x)
        flat = lambda x: bijection.forward(x[None])[0].reshape(-1)
        jacobian = jax.vmap(lambda x: jax.jacfwd(flat)(x).reshape(x.size, x.size))(x)
        return z, log_det, *bijection.inverse(z), jnp.linalg.slogdet(jacobian)[1]

    z, log_det, back, back_log_det, exact = found(x)
    assert log_det.shape == back_log_det.shape == x.shape[:1]
    assert z.dtype == log_det.dtype == back.dtype == x.dtype
    np.testing.assert_allclose(back, x, atol=tolerance, rtol=tolerance)
    np.testing.assert_allclose(log_det, exact, atol=10 * tolerance, rtol=10 * tolerance)
    np.testing.assert_allclose(back_log_det, -log_det, atol=10 * tolerance, rtol=10 * tolerance)
    return z

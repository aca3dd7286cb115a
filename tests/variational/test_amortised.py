"""Bounds of an inference function: per datum, differentiable in both networks, and short of the optimum."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.distributions import MeanFieldParams, mean_field_gaussian
from jaxgen.variational import amortised, importance_weighted, linear_gaussian

RNG = np.random.default_rng(0)
MODEL = linear_gaussian.LinearGaussian(RNG.normal(size=(4, 2)), RNG.normal(size=4), 0.6)
X = np.asarray(MODEL.offset + RNG.normal(size=(20, 2)) @ MODEL.weight.T + 0.6 * RNG.normal(size=(20, 4)))
FAMILY = mean_field_gaussian()


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def encode(params, x):
    """A linear encoder, with one spread for all."""
    mean = (x - MODEL.offset) @ params["weight"].T
    return MeanFieldParams(mean, jnp.broadcast_to(params["log_std"], mean.shape))


def closed(params, x):
    q = encode(params, x)
    return linear_gaussian.elbo(MODEL, x, q.mean, jnp.diag(jnp.exp(2 * params["log_std"])))


def bounds(key, params, x, **options):
    keys = jax.random.split(key, len(x))
    return amortised(keys, partial(linear_gaussian.log_joint, MODEL), FAMILY, partial(encode, params), x, **options)


SOME = {"weight": 0.1 * RNG.normal(size=(2, 4)), "log_std": np.array([-0.3, 0.2])}


def test_the_decoder_is_differentiated_too():
    """In the model's std, against the closed form."""
    x, params = jnp.asarray(X[:3]), jax.tree.map(jnp.asarray, SOME)

    def bound(std, key):
        joint = partial(linear_gaussian.log_joint, MODEL._replace(std=std))
        return amortised(jax.random.split(key, 3), joint, FAMILY, partial(encode, params), x).sum()

    def exact(std):
        q = encode(params, x)
        spread = jnp.diag(jnp.exp(2 * params["log_std"]))
        return linear_gaussian.elbo(MODEL._replace(std=std), x, q.mean, spread).sum()

    draws = np.asarray(jax.jit(jax.vmap(jax.grad(bound), (None, 0)))(0.6, jax.random.split(jax.random.key(0), 20_000)))
    assert abs(draws.mean() - jax.jit(jax.grad(exact))(0.6)) < 4.5 * draws.std() / np.sqrt(len(draws))


@pytest.mark.slow
def test_each_datum_has_its_own_elbo_and_gradient():
    """Unbiased, against the closed form, for every datum; and no datum depends on another."""
    x, params = jnp.asarray(X[:3]), jax.tree.map(jnp.asarray, SOME)
    keys = jax.random.split(jax.random.key(0), 10_000)
    found = np.asarray(jax.jit(jax.vmap(lambda key: bounds(key, params, x)))(keys))
    error = found.std(0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(0) - closed(params, x)) < 4.5 * error)
    gradients = jax.jit(jax.vmap(jax.grad(lambda p, key: bounds(key, p, x).sum()), (None, 0)))(params, keys)
    wanted = jax.grad(lambda p: closed(p, x).sum())(params)
    for name in params:
        draws = np.asarray(gradients[name])
        assert np.all(np.abs(draws.mean(0) - wanted[name]) < 4.5 * draws.std(0) / np.sqrt(len(draws)))
    across = jax.jacobian(lambda x: bounds(keys[0], params, x))(x)
    assert np.all(np.asarray(across)[~np.eye(3, dtype=bool)] == 0)
    # the estimator is the caller's
    tight = bounds(keys[1], params, jnp.asarray(X), estimator=importance_weighted, samples=64)
    assert closed(params, jnp.asarray(X)).mean() < tight.mean()
    with jax.enable_x64(False):
        assert jax.eval_shape(bounds, jax.random.key(0), *jax.tree.map(jnp.float32, (SOME, X))).dtype == jnp.float32

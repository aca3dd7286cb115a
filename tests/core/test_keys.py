"""Results of an example depend on its own key alone, whatever the kind of the keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import siblings_slow

from jaxgen import vae, variational
from jaxgen.core import fold_in, hutchinson, noise, per_sample_keys, threefry_key
from jaxgen.data import dequantise
from jaxgen.diffusion import denoiser, uniform_grid, variational_bound, vdm_bound, vp
from jaxgen.distributions import Gaussian, MeanFieldParams, likelihoods, mean_field_gaussian

X = jnp.linspace(-1.0, 1.0, 12).reshape(4, 3)


def encode(x):
    return Gaussian(0.5 * x, jnp.full((), 0.3))


MODEL = vae.VAE(encode, lambda z: Gaussian(z, jnp.full((), 0.1)), likelihoods.gaussian())
DENOISE = denoiser(vp(), lambda x, t, cond: 0.5 * x)
USES = {
    "noise": lambda keys, x: noise(fold_in(keys, 1), (3,)),
    "gaussian": lambda keys, x: encode(x).sample(keys),
    "hutchinson": lambda keys, x: hutchinson(keys, (3,), distribution="gaussian")(
        lambda x: x**3 * x.sum(-1, keepdims=True), x
    )[1],
    "dequantise": lambda keys, x: dequantise(keys, jnp.uint8(100 * x + 100)),
    "bound": lambda keys, x: (
        variational_bound(keys, vp(), DENOISE, x, grid=uniform_grid(3), likelihood=likelihoods.gaussian()).total
    ),
    "vdm": lambda keys, x: jax.vmap(
        lambda key, x0: vdm_bound(key, vp(), lambda x, t, cond: 0.5 * x, x0[None], t_min=1e-3).diffusion[0]
    )(keys, x),
    "elbo": lambda keys, x: vae.elbo(keys, MODEL, x).value,
    "importance": lambda keys, x: vae.importance_weighted_bound(keys, MODEL, x, samples=3, block=2),
    "amortised": lambda keys, x: variational.amortised(
        keys,
        lambda x, z: -((x - z) ** 2).sum(),
        mean_field_gaussian(),
        lambda x: MeanFieldParams(x, jnp.zeros_like(x)),
        x,
    ),
}


@pytest.mark.parametrize("name", siblings_slow(USES, "noise", "gaussian", "hutchinson", "bound"))
def test_examples_are_the_same_in_another_batch(name):
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 4)
    run = jax.jit(USES[name])
    whole, part = np.asarray(run(keys, X)), np.asarray(run(keys[1:], X[1:]))
    np.testing.assert_allclose(part, whole[1:], rtol=1e-5, atol=1e-6)
    assert len(np.unique(whole.reshape(4, -1)[:, 0])) == 4


def test_threefry_keys_are_unchanged_and_derived_ones_differ():
    keys = jax.random.split(jax.random.key(3), 4)
    assert threefry_key(keys) is keys
    seeds = [threefry_key(jax.random.key(seed, impl=impl)) for seed in range(3) for impl in ("rbg", "unsafe_rbg")]
    assert len({tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in seeds[::2]}) == 3
    with pytest.raises(ValueError, match="typed keys of shape"):
        per_sample_keys(jax.random.PRNGKey(0))

"""A model that was trained, not one that was given: an MLP learns a two-dimensional mixture."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import nightly

from jaxgen import diffusion, nets, samplers, training
from jaxgen.diffusion import subset_grid, uniform_grid

MEANS = jnp.array([[-1.0, -0.6], [1.0, 0.6]])
STDS = jnp.array([0.25, 0.15])
WEIGHTS = jnp.array([0.3, 0.7])


def draw(key, n):
    which, noise = jax.random.split(key)
    component = jax.random.choice(which, 2, (n,), p=WEIGHTS)
    return MEANS[component] + STDS[component, None] * jax.random.normal(noise, (n, 2))


PROCESSES = {
    "vp": (diffusion.vp(), "eps", uniform_grid(100)),
    "table": (diffusion.from_betas(diffusion.cosine_betas(100)), "v", subset_grid(100, 100)),
}


@pytest.fixture(scope="module", params=PROCESSES)
def learned(request):
    process, predicts, times = PROCESSES[request.param]
    net, steps = nets.MLP(), 3000
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, steps))
    params = net.init(jax.random.key(0), jnp.zeros((1, 2)), jnp.zeros(1))

    def loss(key, params, x0):
        return diffusion.denoising_loss(key, process, partial(net.apply, params), x0, predicts=predicts)

    step = training.make_train_step(loss, optimizer)
    state = training.create_state(jax.random.key(1), params, optimizer)
    make = jax.jit(draw, static_argnums=1)
    state = training.fit(step, state, lambda i: make(jax.random.key(i), 256), steps=steps, progress=False).state
    return process, diffusion.denoiser(process, partial(net.apply, state.ema), predicts=predicts), times


@nightly("sampler", [samplers.ddpm(), samplers.ddim()], ids=["ddpm", "ddim"])
def test_mode_weights_and_moments(learned, sampler):
    process, denoise, times = learned
    n = 4000
    x = np.asarray(samplers.sample(jax.random.split(jax.random.key(3), n), process, denoise, sampler, times, (2,)))
    nearest = np.argmin(np.linalg.norm(x[:, None] - np.asarray(MEANS), axis=-1), axis=-1)
    share = np.mean(nearest == 0)
    assert abs(share - 0.3) < 0.03 + 4 * np.sqrt(0.21 / n)
    for mode in (0, 1):
        mine = x[nearest == mode]
        np.testing.assert_allclose(mine.mean(0), MEANS[mode], atol=0.06)
        np.testing.assert_allclose(mine.std(0), STDS[mode], rtol=0.25)

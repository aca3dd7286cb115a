"""Samples in timed batches: kept, not drawn again, and the same as by one call."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from some_exercise import SOME

from experiments.kit import sampling
from experiments.kit.config import RunConfig
from experiments.kit.run import begin
from jaxgen.data import to_uint8
from jaxgen.diffusion import from_betas, linear_betas
from jaxgen.nets import MLP
from jaxgen.samplers import ddim


def test_batches_are_kept_and_drawn_once(tmp_path):
    run = begin(SOME, RunConfig(runs=tmp_path, progress=False), [])
    traces = []

    def sampler(params, keys, cond):
        traces.append(len(keys))
        return params + jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys) + cond[:, None]

    cond, key = np.arange(7.0), jax.random.key(3)
    draw = partial(sampling.draw, run, "samples/a", sampler, jnp.ones(2), 7, key=key, cond=cond, batch_size=3)
    first = draw()
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(7, dtype=jnp.uint32))
    np.testing.assert_allclose(first.images, sampler(jnp.ones(2), keys, jnp.asarray(cond)), rtol=1e-6)
    assert first.first_seconds > first.seconds > 0  # the first batch waits for its compilation
    again = draw()
    np.testing.assert_array_equal(again.images, first.images)
    assert (again.seconds, again.first_seconds) == (first.seconds, first.first_seconds)


def test_a_method_visits_a_subset_of_the_chain_from_any_start():
    process, net = from_betas(linear_betas(20)), MLP(8, 1)
    params = net.init(jax.random.key(0), jnp.zeros((1, 2)), jnp.zeros(1))
    model = sampling.Model(process, net, params, (2,))
    keys = jax.random.split(jax.random.key(1), 3)
    draw = sampling.Method(ddim(), 5).function(model, trajectory=True)
    path = draw(params, keys, (None, None))
    assert path.shape == (6, 3, 2)
    start = jnp.ones((3, 2))
    np.testing.assert_array_equal(draw(params, keys, (None, start))[0], start)


def test_saved_images_are_read_back(tmp_path):
    images = np.random.default_rng(0).uniform(-1, 1, (3, 4, 4, 3)).astype(np.float32)
    file = sampling.save_images(tmp_path / "drawn", images, np.arange(3))
    saved = np.load(file)
    np.testing.assert_array_equal(saved["images"], to_uint8(images))
    np.testing.assert_array_equal(saved["labels"], [0, 1, 2])
    with Image.open(file.with_name("images.png")) as sheet:
        assert sheet.format == "PNG"

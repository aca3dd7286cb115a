"""The cores of a CPU as devices: how many there are, how many share a batch, and that samples stay the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from some_exercise import SOME

from experiments.kit import devices, sampling
from experiments.kit.config import RunConfig, TrainingConfig
from experiments.kit.run import begin
from experiments.kit.timing import threads

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("config", "batch_size", "sharing"),
    [
        (RunConfig(cores=8), 32, 8),
        (RunConfig(cores=6), 32, 4),  # six do not divide it
        (RunConfig(cores=8), 8, 2),  # four examples each
        (RunConfig(cores=8), 7, 1),
        (RunConfig(cores=1), 32, 1),
        (RunConfig(cores=99), 64, 8),  # no more than there are
        (RunConfig(preset="smoke"), 32, 1),
        (TrainingConfig(cores=8, data_parallel=True), 32, 1),
    ],
)
def test_as_many_cores_share_a_batch_as_divide_it(config, batch_size, sharing):
    mesh = devices.cores_mesh(config, batch_size)
    assert (1 if mesh is None else mesh.size) == sharing
    sharding = devices.cores_sharding(config, batch_size)
    assert (1 if sharding is None else len(sharding.device_set)) == sharing


@pytest.mark.parametrize(("cores", "count", "sharing"), [(2, 6, 2), (4, 6, 3), (8, 7, 7), (2, 3, 1), (1, 6, 1)])
def test_as_many_cores_share_single_examples_as_divide_their_number(cores, count, sharing):
    mesh = devices.cores_mesh(RunConfig(cores=cores), count, least=1)
    assert (1 if mesh is None else mesh.size) == sharing
    assert len(devices.cores_devices(RunConfig(cores=cores), count)) == min(cores, count)


def test_samples_do_not_depend_on_the_cores(tmp_path):
    def sampler(params, keys, cond):
        return params + jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys)

    drawn = []
    for cores in (1, 2):
        run = begin(SOME, RunConfig(runs=tmp_path / str(cores), progress=False, cores=cores), [])
        drawn.append(sampling.draw(run, "a", sampler, jnp.ones(2), 20, key=jax.random.key(0), batch_size=10).images)
    np.testing.assert_allclose(*drawn, rtol=1e-6)


@pytest.mark.parametrize(
    ("flags", "variables", "count"),
    [
        ({}, {}, threads()),
        ({"cores": 3}, {}, 3),
        ({"cores": 3}, {"XLA_FLAGS": "--xla_force_host_platform_device_count=5"}, 5),
        ({"cores": 3}, {"JAX_NUM_CPU_DEVICES": "4"}, 4),
        ({"preset": "smoke"}, {}, 1),
    ],
)
@pytest.mark.slow
def test_a_run_makes_a_device_of_each_core_unless_it_is_told(flags, variables, count):
    program = (
        "import jax\nfrom experiments.kit import config, devices\n"
        f"devices.use_cores(config.RunConfig(**{flags!r}))\nprint(jax.device_count())"
    )
    unset = {"XLA_FLAGS", "JAX_NUM_CPU_DEVICES"}
    environment = {name: value for name, value in os.environ.items() if name not in unset} | variables
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == count

"""Trainings in parallel: the same as one after the other, on cores of their own, and stopped together."""

import signal
import threading
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from some_exercise import SOME

from experiments.kit.config import TrainingConfig
from experiments.kit.parallel import in_parallel
from experiments.kit.run import begin
from experiments.kit.training import train_network
from jaxgen.training import Interrupted

DATA = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
CONFIG = TrainingConfig(preset="smoke", progress=False, ema=0.5, batch_size=8, checkpoint_every=1000)


@pytest.fixture(autouse=True)
def interruptible():
    """Ctrl-C as at a terminal: what runs in the background is often begun without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def loss(key, params, batch):
    return jnp.sum((batch[0] + jax.random.normal(key, batch[0].shape) - params) ** 2, -1)


def train(run, name, steps=20):
    return train_network(
        run, name, jnp.zeros(2), loss, (DATA,), held_out_loss=lambda p: jnp.sum(p**2), seed=ord(name), steps=steps
    )  # fmt: skip


def jobs_of(names, **how):
    return {name: lambda run, name=name: train(run, name, **how) for name in names}


def test_trainings_in_parallel_end_as_one_after_the_other(tmp_path):
    found, seen = [], {}
    for cores in (1, 2):
        run = begin(SOME, replace(CONFIG, runs=tmp_path / str(cores), cores=cores), [])
        jobs = jobs_of("abc") | {"where": lambda run: (threading.get_ident(), run.config.cores)}
        results = in_parallel(run, jobs)
        assert list(results) == [*"abc", "where"]
        seen[cores] = results.pop("where")
        found.append({name: np.asarray(of.averaged) for name, of in results.items()})
    assert seen[1] == (threading.get_ident(), 1)
    assert seen[2][0] != threading.get_ident()
    assert seen[2][1] == 1
    jax.tree.map(np.testing.assert_array_equal, *found)
    assert len({tuple(of) for of in found[0].values()}) == 3


def test_each_core_computes_one_job_at_a_time(tmp_path):
    """Two jobs wait for each other, so they are under way at once; each sees a device of its own."""
    meet = threading.Barrier(2, timeout=20)

    def job(run):
        meet.wait()
        return jnp.zeros(()).device

    run = begin(SOME, replace(CONFIG, runs=tmp_path, cores=2), [])
    assert set(in_parallel(run, {"a": job, "b": job}).values()) == set(jax.devices()[:2])


def test_a_signal_stops_all_after_they_saved_their_states(tmp_path):
    run = begin(SOME, replace(CONFIG, runs=tmp_path, cores=2), [])
    jobs = jobs_of("ab", steps=10**7)

    def interrupt(run):
        threading.Timer(2, lambda: signal.raise_signal(signal.SIGTERM)).start()
        return train(run, "a", steps=10**7)

    with pytest.raises(Interrupted, match=r"SIGTERM at step .*saved in"):
        in_parallel(run, jobs | {"a": interrupt})
    for name in "ab":
        assert any((run.directory / name / "checkpoints").iterdir())


def test_the_first_error_of_a_job_ends_all(tmp_path):
    def fail(run):
        raise ZeroDivisionError("in the job")

    run = begin(SOME, replace(CONFIG, runs=tmp_path, cores=2), [])
    with pytest.raises(ZeroDivisionError, match="in the job"):
        in_parallel(run, {"fails": fail} | jobs_of("a", steps=10**7))

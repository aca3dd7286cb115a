"""A small training run, made to be killed by faults.py, that reports what it saves on its standard output.

Each line of the report begins with @ and is one write, so that a kill cannot cut it.
"""

import hashlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.data import Batches, load_images, to_float
from jaxgen.training import (
    Checkpoints,
    Diverged,
    Interrupted,
    create_adversarial_state,
    create_state,
    fit,
    make_adversarial_step,
    make_train_step,
    power_ema,
)

STEPS = 60
CHECKPOINT_EVERY = 5
LOG_EVERY = 3
KEEP = 3

FINISHED, FAILED, STOPPED, DIVERGED, ABORTED = 0, 1, 3, 4, 130


@dataclass(frozen=True)
class Options:
    """How this run differs from one that nothing happens to.

    nan_at: the step whose batch is not a number. full_log_at: the step from which the log's disk is full.
    survey: save nothing, but report the state after every step. adversarial: train two players.
    """

    nan_at: int | None = None
    full_log_at: int | None = None
    survey: bool = False
    adversarial: bool = False


def report(*words):
    os.write(1, ("\n@ " + " ".join(map(str, words)) + "\n").encode())


def digest(state):
    """A hash of all bits of a state."""
    found = hashlib.sha256()
    for x in jax.tree.leaves(state):
        found.update(
            np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x).tobytes()
        )
    return found.hexdigest()[:24]


class Reported(Checkpoints):
    """Checkpoints that say which saves have begun, and which the library has called complete."""

    begun = None

    def save(self, state):
        report("saving", int(state.step), digest(state))
        super().save(state)
        if self.begun not in (None, int(state.step)):
            report("completed", self.begun)  # save promises that the one before it is
        self.begun = int(state.step)

    def wait(self):
        super().wait()
        if self.begun is not None:
            report("completed", self.begun)


class Surveyed(Checkpoints):
    def save(self, state):
        report("saving", int(state.step), digest(state))


def loss(key, params, x):
    hidden = jnp.tanh(x @ params["in"] + 0.1 * jax.random.normal(key, (len(x), 64)))
    return (hidden @ params["out"] - jnp.sin(x.sum(-1))) ** 2


def one_player(key):
    """The step and the first state of a regression."""
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, STEPS))
    k1, k2, k3 = jax.random.split(key, 3)
    params = {"in": jax.random.normal(k1, (16, 64)) / 4, "out": jax.random.normal(k2, (64,)) / 8}
    return make_train_step(loss, optimizer, ema=power_ema(6.94)), create_state(k3, params, optimizer)


def two_players(key):
    """The step and the first state of a small GAN, with two steps of the critic for each of the generator.

    The critic keeps an average of its losses, which both players see.
    """
    generate = lambda params, key, n: jnp.tanh(jax.random.normal(key, (n, 8)) @ params["in"]) @ params["out"]
    judge = lambda params, x: jnp.tanh(x @ params["in"]) @ params["out"]

    def generator_loss(key, params, critic, x, average):
        return -(1 + average) * judge(critic, generate(params, key, len(x))), {}, {"average": average}

    def critic_loss(key, params, generator, x, average):
        losses = judge(params, generate(generator, key, len(x))) - judge(params, x)
        carry = {"average": 0.9 * average + 0.1 * jnp.tanh(losses.mean())}
        return losses + 0.1 * losses**2, {"gap": losses}, carry

    optimizers = optax.adam(optax.cosine_decay_schedule(1e-3, STEPS)), optax.adam(1e-3)
    k1, k2, k3, k4, k5 = jax.random.split(key, 5)
    generator = {"in": jax.random.normal(k1, (8, 32)) / 3, "out": jax.random.normal(k2, (32, 16)) / 6}
    critic = {"in": jax.random.normal(k3, (16, 32)) / 4, "out": jax.random.normal(k4, (32,)) / 6}
    step = make_adversarial_step(generator_loss, critic_loss, *optimizers, critic_steps=2, ema=power_ema(6.94))
    return step, create_adversarial_state(k5, generator, critic, *optimizers, {"average": jnp.zeros(())})


def write_data(path):
    np.save(path, np.random.default_rng(0).integers(0, 256, (100, 4, 4, 1), np.uint8))


def fill_disk(file):
    """Every write to `file` from now on finds the disk full."""
    full = os.open("/dev/full", os.O_WRONLY)
    for number in os.listdir("/proc/self/fd"):
        if os.path.realpath(f"/proc/self/fd/{number}") == str(file.resolve()):
            os.dup2(full, int(number))


def main(directory: Path, options: Options) -> int:
    """Start, or resume, the run in `directory`; returns the exit status."""
    jax.config.update("jax_platforms", "cpu")
    log = directory / "metrics.jsonl"
    images = to_float(load_images(directory / "data.npy").images).reshape(-1, 16)
    data = Batches(images, 16, seed=1)

    def batches(step):
        time.sleep(0.01)  # a longer run is hit in more places
        if step == options.full_log_at:
            fill_disk(log)
        return data(step) * (jnp.nan if step == options.nan_at else 1.0)

    step, state = (two_players if options.adversarial else one_player)(jax.random.key(0))
    average = lambda state: state.generator.ema if options.adversarial else state.ema
    with (Surveyed if options.survey else Reported)(directory / "checkpoints", keep=KEEP) as checkpoints:
        checkpoints.claim()
        if checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
        report("from", int(state.step), digest(state))
        try:
            state, _ = fit(
                step,
                state,
                batches,
                steps=STEPS,
                checkpoints=checkpoints,
                checkpoint_every=1 if options.survey else CHECKPOINT_EVERY,
                log=log,
                log_every=LOG_EVERY,
                evaluate=lambda state: {"norm": optax.tree.norm(average(state))},
                evaluate_every=10,
                progress=False,
            )
        except Interrupted as stop:
            print(stop, flush=True)
            return STOPPED
        except Diverged as stop:
            print(stop, flush=True)
            return DIVERGED
    report("final", digest(state))
    return FINISHED


def restore_signals():
    """As in a process of one's own; the parent blocks them over the fork."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})

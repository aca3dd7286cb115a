"""A small noisy regression, run as a program by test_resume.py: it can kill, or stop, itself at a given step.

usage: regression.py DIRECTORY {none,SIGKILL,SIGTERM,SIGINT} STEP [--resume]
"""

import os
import signal
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.training import Checkpoints, Interrupted, create_state, fit, make_train_step, power_ema

STEPS = 60


def loss(key, params, batch):
    x, y = batch
    hidden = jnp.tanh(x @ params["in"] + 0.1 * jax.random.normal(key, (len(x), 32)))
    return (hidden @ params["out"] - y) ** 2


def batches(step):
    x = jax.random.normal(jax.random.fold_in(jax.random.key(1), step), (64, 8))
    return x, jnp.sin(x.sum(-1))


def main(directory, number, at, resume):
    def batches_then_signal(step):
        if step == at:
            os.kill(os.getpid(), number)
        return batches(step)

    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, STEPS))
    k1, k2, k3 = jax.random.split(jax.random.key(0), 3)
    params = {"in": jax.random.normal(k1, (8, 32)) / 3, "out": jax.random.normal(k2, (32,)) / 6}
    state = create_state(k3, params, optimizer)
    with Checkpoints(directory / "checkpoints", keep=2) as checkpoints:
        if resume:
            state = checkpoints.restore(state)
        print("from", int(state.step))
        try:
            state, _ = fit(
                make_train_step(loss, optimizer, ema=power_ema(6.94)),
                state,
                batches_then_signal if number else batches,
                steps=STEPS,
                checkpoints=checkpoints,
                checkpoint_every=8,
                log=directory / "metrics.jsonl",
                log_every=3,
                evaluate=lambda s: {"norm": optax.tree.norm(s.ema)},
                evaluate_every=10,
                progress=False,
            )
        except Interrupted as interrupted:
            print(interrupted)
            sys.exit(3)
    leaves = jax.tree.leaves(state.replace(key=jax.random.key_data(state.key)))
    np.savez(directory / "final.npz", *map(np.asarray, leaves))


if __name__ == "__main__":
    main(Path(sys.argv[1]), getattr(signal, sys.argv[2], None), int(sys.argv[3]), "--resume" in sys.argv)

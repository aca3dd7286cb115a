"""A small regression, trained by one or several processes; run as a program by test_processes.py.

usage: several.py DIRECTORY {whole,split} PROCESSES PROCESS PORT [--resume] [--slow] [--unreadable]
"""

import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp

from jaxgen.data import StreamedBatches
from jaxgen.training import (
    Checkpoints,
    Interrupted,
    batch_sharding,
    create_state,
    data_mesh,
    fit,
    fully_sharded,
    gather,
    make_train_step,
    place,
    replicated,
)

STEPS = 40
OPTIMIZER = optax.adam(3e-2)


class Rows:
    """Data of which each process notes the rows that it reads."""

    def __init__(self):
        x = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
        self.values, self.read = np.concatenate([x, np.sin(x.sum(-1, keepdims=True))], axis=-1), 0
        self.shape = self.values.shape

    def __getitem__(self, index):
        self.read += len(index)
        return self.values[index]


def loss(key, params, batch):
    x, y = batch[:, :4], batch[:, 4]
    hidden = jnp.tanh(x @ params["in"] + 0.1 * jax.random.normal(key, (len(x), 32)))
    return (hidden @ params["out"] - y) ** 2


def begin():
    k1, k2 = jax.random.split(jax.random.key(1))
    params = {"in": jax.random.normal(k1, (4, 32)), "out": jax.random.normal(k2, (32,)) / 6}
    return create_state(jax.random.key(0), params, OPTIMIZER)


def lose_sight_of_the_last_checkpoint():
    """As where one machine's disk fails to read what the others can."""
    restore = ocp.CheckpointManager.restore

    def failing(self, step, **how):
        if step == STEPS:
            raise OSError("input/output error")
        return restore(self, step, **how)

    ocp.CheckpointManager.restore = failing


def main(directory, how, processes, process, port, resume, slow, unreadable):
    if unreadable and process == processes - 1:
        lose_sight_of_the_last_checkpoint()
    if processes > 1:
        jax.distributed.initialize(f"localhost:{port}", processes, process)
    assert (jax.process_count(), jax.process_index()) == (processes, process)
    mesh, rows = data_mesh(), Rows()
    layout = replicated(mesh) if how == "whole" else fully_sharded(begin(), mesh, min_size=16)
    state, step = place(begin(), layout), make_train_step(loss, OPTIMIZER, layout=layout)
    batches = StreamedBatches(rows, 16, seed=3, sharding=batch_sharding(mesh))

    def paced(n):
        time.sleep(0.1 * slow)
        return batches(n)

    with Checkpoints(directory / "checkpoints") as checkpoints:
        if resume:
            state = checkpoints.restore(state)
        try:
            result = fit(
                step, state, paced, steps=STEPS, checkpoints=checkpoints, checkpoint_every=15, log_every=5,
                log=directory / "metrics.jsonl", progress=False,
                evaluate=lambda s: {"norm": optax.tree.norm(s.ema)}, evaluate_every=20,
                on_log=lambda n, row: print("step", n, flush=True),
            )  # fmt: skip
        except Interrupted as stop:
            print(stop, flush=True)
            sys.exit(3)
    assert result.history["loss"][0][-1] == STEPS
    whole = gather(result.state.params)
    np.savez(directory / f"final{process}.npz", read=rows.read, **whole)


if __name__ == "__main__":
    flags = (flag in sys.argv for flag in ("--resume", "--slow", "--unreadable"))
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6]), *flags)

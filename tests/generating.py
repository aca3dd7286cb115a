"""Samples of a small network, drawn as programs that test_generate.py runs, kills and joins.

usage: generating.py kill DIRECTORY KILLS | generating.py join DIRECTORY PROCESS PORT
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from jaxgen.diffusion import denoiser, uniform_grid, vp
from jaxgen.generation import generate
from jaxgen.samplers import ddim, sample

SHAPE = (8, 8, 3)


def weights():
    rng = np.random.default_rng(0)
    return {"in": rng.normal(size=(193, 64)) / 14, "out": rng.normal(size=(64, 192)) / 8}


def rows(n):
    """A cond that holds each image's number."""
    return np.arange(n, dtype=np.int32)


def drawing(log, seconds=0.0):
    """draw(params, keys, cond), a network's samples, which logs "process first-image" of each batch that it draws."""

    def note(first):
        line = f"{os.getpid()} {int(first)}\n"
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)
        time.sleep(seconds)
        return np.float32(0)

    def draw(params, keys, cond):
        def network(x, t, cond):
            features = jnp.column_stack([x.reshape(-1, 192), t]) @ params["in"] + cond[:, None] % 10 / 10
            return (jnp.tanh(features) @ params["out"]).reshape(x.shape)

        x = sample(keys, vp(), denoiser(vp(), network, cond=cond), ddim(), uniform_grid(5), SHAPE)
        return x + io_callback(note, jax.ShapeDtypeStruct((), jnp.float32), cond[0])

    return draw


def generated(draw, n, batch_size, params=None, **options):
    params, options = weights() if params is None else params, {"progress": False, **options}
    return generate(draw, params, jax.random.key(0), n, batch_size=batch_size, cond=rows(n), **options)


def kill(directory, kills, n=240, batch_size=8):
    """Draws n images in processes that are killed at random moments, in one that is not, and once undisturbed."""
    rng, log = np.random.default_rng(int.from_bytes(os.urandom(4))), directory / "log"
    attempts = []

    def child(where, seconds):
        # forked before JAX has started, so that a kill costs the start of JAX, not that of Python
        number = os.fork()
        if number == 0:
            os.fsync = lambda descriptor: time.sleep(seconds)  # a slow disk: many die between writing and renaming
            draw = drawing(log, seconds)
            images = generated(draw, n, batch_size, directory=where)
            np.save(directory / ("whole.npy" if where is None else "resumed.npy"), images)
            os._exit(0)
        return number

    def files():
        return sorted(path.name for path in (directory / "images").glob("*.npz"))

    for attempt in range(kills + 1):
        before, lines = files(), len(log.read_text().splitlines()) if log.exists() else 0
        number = child(directory / "images", 0.01)
        if attempt < kills:
            further = rng.integers(0, 9)
            while not log.exists() or len(log.read_text().splitlines()) < lines + further:
                time.sleep(0.001)
                if os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    break
            time.sleep(rng.uniform(0, 0.03))
            os.kill(number, signal.SIGKILL)
        _, status = os.waitpid(number, 0)
        leftovers = len(list((directory / "images").glob(".*.partial")))
        attempts.append({"process": number, "before": before, "status": status, "leftovers": leftovers})
    _, status = os.waitpid(child(None, 0.0), 0)
    print(json.dumps({"attempts": attempts, "whole": status, "files": files()}))


def join(directory, index, port, n=100, batch_size=8):
    """Draws n images together with another process, each on two devices of its own."""
    jax.config.update("jax_num_cpu_devices", 2)
    jax.distributed.initialize(f"localhost:{port}", 2, index)
    assert (jax.process_count(), jax.device_count(), jax.local_device_count()) == (2, 4, 2)
    own, every = (
        jax.sharding.NamedSharding(jax.sharding.Mesh(np.array(devices), ("data",)), jax.sharding.PartitionSpec("data"))
        for devices in (jax.local_devices(), jax.devices())
    )
    draw = drawing(directory / "log")
    refused, shared = [], jax.make_array_from_callback((4,), every, lambda index: np.zeros(4)[index])
    for params, options in (
        (weights(), {}),
        (weights(), {"sharding": every, "directory": directory / "images"}),
        (weights() | {"more": shared}, {"directory": directory / "images"}),
    ):
        try:
            generated(draw, n, batch_size, params, **options)
        except ValueError as error:
            refused.append(str(error))
    images = generated(draw, n, batch_size, sharding=own, directory=directory / "images")
    np.save(directory / f"process{index}.npy", images)
    print(json.dumps({"process": os.getpid(), "refused": refused}))


if __name__ == "__main__":
    mode, where, *numbers = sys.argv[1:]
    {"kill": kill, "join": join}[mode](Path(where), *map(int, numbers))

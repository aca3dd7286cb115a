"""Training on the first N devices, run as a process of its own by the benchmark: prints its times and losses as JSON.

python -m experiments.benchmark_devices N {data_parallel,fully_sharded} FEATURES SIZE BATCH STEPS
"""

import json
import sys
import time

import jax

from experiments.benchmark_training import OPTIMIZER, Workload, begin, loss_of
from jaxgen.data import Batches
from jaxgen.nets import UNet
from jaxgen.training import (
    batch_sharding,
    create_state,
    data_mesh,
    fit,
    fully_sharded,
    make_train_step,
    place,
    replicated,
)


def main(n: int, how: str, features: int, size: int, batch: int, steps: int) -> dict:
    """Losses of the first `steps` steps, and seconds of each of as many more."""
    if len(jax.devices()) < n:
        raise SystemExit(f"{n} devices are asked for, and there are {len(jax.devices())}")
    mesh = data_mesh(jax.devices()[:n])
    workload = Workload(UNet(features, (1, 2)), (size, size, 3), batch, steps)
    params, data = begin(workload)
    state = create_state(jax.random.key(1), params, OPTIMIZER)
    layout = fully_sharded(state, mesh) if how == "fully_sharded" else replicated(mesh)
    state, step = place(state, layout), make_train_step(loss_of(workload.net), OPTIMIZER, layout=layout)
    batches = Batches(data, batch, sharding=batch_sharding(mesh))
    first = fit(step, state, batches, steps=steps, log_every=1, progress=False)
    kept = jax.tree.leaves((first.state.params, first.state.opt_state))
    size = sum(x.addressable_shards[0].data.nbytes for x in kept)
    started = time.perf_counter()
    fit(step, first.state, batches, steps=2 * steps, log_every=steps, progress=False)
    taken = (time.perf_counter() - started) / steps
    return {
        "devices": n,
        "how": how,
        "seconds per step": taken,
        "bytes of parameters and moments per device": size,
        "losses": first.history["loss"][1].tolist(),
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))))

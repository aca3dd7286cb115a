"""The speed of training: steps beside bare gradients, what feeds them, precision, memory, and many devices."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.timing import Subject, Timing, in_turns, seconds
from jaxgen.data import Batches, StreamedBatches
from jaxgen.diffusion import denoising_loss, vp
from jaxgen.training import create_state, fit, make_train_step

OPTIMIZER = optax.adam(1e-3)
ADAM = "Adam, by hand"


class Workload(NamedTuple):
    """A network, the shape of its examples, how many make a batch, how many steps are timed, and are one call."""

    net: nn.Module
    shape: tuple[int, ...]
    batch: int
    steps: int
    per_call: int = 1


class Trained(NamedTuple):
    """Times by way of training, each beside as many bare gradients; FLOP and bytes of a step, seconds it waits."""

    timings: dict[str, Timing]
    flop: float
    memory: float
    waits: dict[str, float]


def loss_of(net: nn.Module) -> Callable[..., jax.Array]:
    """The objective that is timed, ε-prediction."""
    return lambda key, params, x0: denoising_loss(key, vp(), partial(net.apply, params), x0)


def begin(workload: Workload) -> tuple[Any, np.ndarray]:
    """First parameters, and data of sixteen batches."""
    data = np.random.default_rng(0).normal(size=(16 * workload.batch, *workload.shape)).astype(np.float32)
    init = jax.jit(workload.net.init)
    return init(jax.random.key(0, impl="rbg"), jnp.asarray(data[:1]), jnp.zeros(1)), data


def measure(
    workload: Workload,
    rounds: int,
    report: Callable[[int], None],
    others: Callable[[Callable[[int], None]], Mapping[str, Subject]] = lambda bare: {},
) -> Trained:
    """Times training by the step alone and by `fit`, however it is fed, and others beside the same bare gradients."""
    params, data = begin(workload)
    loss, batch, key, n = loss_of(workload.net), jnp.asarray(data[: workload.batch]), jax.random.key(1), workload.steps
    value_and_gradient = jax.value_and_grad(lambda params, key, batch: loss(key, params, batch).mean())
    gradient = jax.jit(value_and_gradient).lower(params, key, batch).compile()
    step = make_train_step(loss, OPTIMIZER)
    memory = held(step.lower(create_state(key, params, OPTIMIZER), batch).compile())

    def bare(n: int) -> None:
        for _ in range(n):
            out = gradient(params, key, batch)
        jax.block_until_ready(out)

    def adam(kept: tuple[Any, Any, jax.Array], batch: jax.Array) -> tuple[tuple[Any, Any, jax.Array], jax.Array]:
        params, moments, key = kept  # a key that were a constant would have its noise compiled in
        value, grads = value_and_gradient(params, key, batch)
        updates, moments = OPTIMIZER.update(grads, moments)
        return (optax.apply_updates(params, updates), moments, key), value

    def repeated(step: Callable[..., tuple[Any, Any]], state: Any) -> Callable[[], None]:
        """Goes on from where it was, a batch again and again."""
        state = jax.tree.map(jnp.copy, state)  # which the step donates

        def run() -> None:
            nonlocal state
            for _ in range(n):
                state, _ = step(state, batch)
            jax.block_until_ready(state)

        return run

    def trainer(batches: Callable[[int], Any], **how: Any) -> Callable[[], None]:
        """Goes on training from where it was."""
        state = create_state(key, params, OPTIMIZER)

        def train() -> None:
            nonlocal state
            steps = int(state.step) + n
            state = fit(step, state, batches, steps=steps, log_every=n, progress=False, **how).state
            jax.block_until_ready(state)

        return train

    resident = Batches(data, workload.batch)
    fed = {"fit": Feed(resident), "fit, data streamed": Feed(StreamedBatches(data, workload.batch))}
    ways = {
        ADAM: repeated(jax.jit(adam, donate_argnums=0), (params, OPTIMIZER.init(params), key)),
        "step": repeated(step, create_state(key, params, OPTIMIZER)),
    } | {name: trainer(feed) for name, feed in fed.items()}
    if workload.per_call > 1:
        ways[f"fit, {workload.per_call} steps a call"] = trainer(resident, steps_per_call=workload.per_call)
    subjects = {name: Subject(n, way, bare) for name, way in ways.items()} | dict(others(bare))
    for subject in subjects.values():
        subject.run()
    timings = in_turns(subjects, rounds, report)
    flop = float((gradient.cost_analysis() or {}).get("flops", float("nan")))
    waits = {name: feed.waited / feed.steps for name, feed in fed.items()}
    return Trained(timings, flop, memory, waits)


class Feed:
    """Batches that note how long the loop waits for them."""

    def __init__(self, batches: Callable[[int], Any]):
        self._batches, self.waited, self.steps = batches, 0.0, 0

    def __call__(self, step: int) -> Any:
        """The batch of a step."""
        started = time.perf_counter()
        batch = self._batches(step)
        self.waited, self.steps = self.waited + time.perf_counter() - started, self.steps + 1
        return batch


def held(compiled: Any) -> float:
    """Bytes that a compiled program holds at its peak, by XLA's own account."""
    memory = compiled.memory_analysis()
    size = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
    return float(size - memory.alias_size_in_bytes)


def compare_networks(
    nets: Mapping[str, nn.Module], workload: Workload, rounds: int, report: Callable[[int], None]
) -> dict[str, tuple[Timing, float]]:
    """Times of the steps of networks that differ in precision or memory, beside the first one's, and their bytes."""
    steps, bytes_of = {}, {}
    for name, net in nets.items():
        params, data = begin(workload._replace(net=net))
        batch, state = jnp.asarray(data[: workload.batch]), create_state(jax.random.key(1), params, OPTIMIZER)
        compiled = make_train_step(loss_of(net), OPTIMIZER).lower(state, batch).compile()
        bytes_of[name] = held(compiled)

        def run(n: int, compiled: Any = compiled, batch: jax.Array = batch, kept: list = [state]) -> None:  # noqa: B006
            for _ in range(n):
                kept[0], _ = compiled(kept[0], batch)
            jax.block_until_ready(kept[0])

        run(1)
        steps[name] = run
    first = next(iter(steps.values()))
    timings = in_turns(
        {name: Subject(workload.steps, partial(run, workload.steps), first) for name, run in steps.items()},
        rounds,
        report,
    )
    return {name: (timings[name], bytes_of[name]) for name in nets}


def peak_flops(device: jax.Device, dtype: Any) -> float:
    """FLOP per second of a large matrix product, the most that this device was seen to do."""
    n = 1024 if device.platform == "cpu" else 8192
    x = jax.device_put(jnp.ones((n, n), dtype), device)
    product = jax.jit(jnp.matmul).lower(x, x).compile()
    product(x, x).block_until_ready()
    return 2 * n**3 / min(seconds(lambda: product(x, x).block_until_ready()) for _ in range(10))


def scaling(devices: tuple[int, ...], how: str, features: int, size: int, batch: int, steps: int) -> list[dict]:
    """Training on so many devices, each in a process of its own, whose CPU devices share the cores there are."""
    rows = []
    for n in devices:
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={n}"
        arguments = [str(item) for item in (n, how, features, size, batch, steps)]
        done = subprocess.run(
            [sys.executable, "-m", "experiments.benchmark_devices", *arguments],
            env={**os.environ, "XLA_FLAGS": flags, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"training on {n} devices failed: {done.stderr[-2000:]}")
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    return rows

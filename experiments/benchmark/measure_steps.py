"""Times of training steps: relative to bare gradients, with both kinds of batches, and in other precision."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from experiments.benchmark.cost import peak_bytes
from experiments.benchmark.flops import matmul_flop
from experiments.benchmark.train import OPTIMIZER, Workload, continued, data, loss_of, parameters, train_step
from experiments.kit.timing import Spread, Subject, Timing, in_turns, overhead, spread
from jaxgen.data import Batches, StreamedBatches
from jaxgen.training import create_state, fit

ADAM = "Adam, by hand"


class Trained(NamedTuple):
    """Training of a network in several ways.

    Attributes:
        network: name of the network.
        batch: examples of a batch.
        steps: training steps of one measurement.
        timings: seconds of each round by way of training, and of as many bare values and gradients.
        flop: operations of the matrix products and convolutions of a value and gradient.
        memory_bytes: memory of a step.
        waits: seconds that a step waits for its batch, by way.
    """

    network: str
    batch: int
    steps: int
    timings: dict[str, Timing]
    flop: int
    memory_bytes: float
    waits: dict[str, float]

    @property
    def name(self) -> str:
        """The network and batch size, for names of tables."""
        return f"{self.network.lower().replace(' ', '-')}-{self.batch}"

    @property
    def title(self) -> str:
        """The network and batch size in words."""
        return f"{self.network}, batch {self.batch}"

    @property
    def overheads(self) -> dict[str, Spread]:
        """The time of each way relative to the bare value and gradient."""
        return {way: overhead(timing) for way, timing in self.timings.items()}

    @property
    def best_loop(self) -> str:
        """The fastest of the whole loops."""
        medians = {way: of.median for way, of in self.overheads.items() if way.startswith("fit")}
        return min(medians, key=medians.__getitem__)

    @property
    def flop_per_second(self) -> float:
        """Floating-point operations of the gradient per second of a step."""
        return self.flop * self.steps / spread(self.timings["step"].run).median


class Variant(NamedTuple):
    """A network of other precision or memory: seconds of each round, with those of the float32 network; its memory."""

    timing: Timing
    memory_bytes: float


def time_training(
    network: str,
    workload: Workload,
    rounds: int,
    report: Callable[[int], None],
    others: Callable[[Callable[[int], None]], Mapping[str, Subject]] = lambda bare: {},
) -> Trained:
    """Time training by the step alone and by `fit`, with both kinds of batches.

    Args:
        network: the network's name.
        workload: what is trained.
        rounds: how often everything is timed.
        report: takes the number of each round that has ended.
        others: gives further subjects, from the function that computes n bare values and gradients.
    """
    params, examples = parameters(workload.net, workload.shape, workload.seed), data(workload)
    loss, batch, n = loss_of(workload.net), jnp.asarray(examples[: workload.batch]), workload.steps
    key = jax.random.key(workload.seed + 1)
    value_and_gradient = jax.value_and_grad(lambda params, key, batch: loss(key, params, batch).mean())
    gradient = jax.jit(value_and_gradient).lower(params, key, batch).compile()
    step = train_step(workload.net)
    memory = peak_bytes(step.lower(create_state(key, params, OPTIMIZER), batch).compile())

    def bare(n: int) -> None:
        for _ in range(n):
            out = gradient(params, key, batch)
        jax.block_until_ready(out)

    def adam(carry: tuple[Any, Any, jax.Array], batch: jax.Array) -> tuple[tuple[Any, Any, jax.Array], jax.Array]:
        params, moments, key = carry  # XLA would compute the noise of a constant key while it compiles
        value, grads = value_and_gradient(params, key, batch)
        updates, moments = OPTIMIZER.update(grads, moments)
        return (optax.apply_updates(params, updates), moments, key), value

    def trainer(batches: Callable[[int], Any], **how: Any) -> Callable[[], None]:
        """The whole loop; each run continues from the last."""
        state = create_state(key, params, OPTIMIZER)

        def train() -> None:
            nonlocal state
            steps = int(state.step) + n
            state = fit(step, state, batches, steps=steps, log_every=n, progress=False, **how).state
            jax.block_until_ready(state)

        return train

    resident = Batches(examples, workload.batch)
    fed = {"fit": Feed(resident), "fit, data streamed": Feed(StreamedBatches(examples, workload.batch))}
    by_hand = jax.tree.map(jnp.copy, (params, OPTIMIZER.init(params), key))  # the step donates it
    ways = {
        ADAM: partial(continued(jax.jit(adam, donate_argnums=0), by_hand, batch), n),
        "step": partial(continued(step, create_state(key, params, OPTIMIZER), batch), n),
    } | {name: trainer(feed) for name, feed in fed.items()}
    if workload.per_call > 1:
        ways[f"fit, {workload.per_call} steps a call"] = trainer(resident, steps_per_call=workload.per_call)
    subjects = {name: Subject(n, way, bare) for name, way in ways.items()} | dict(others(bare))
    for subject in subjects.values():
        subject.run()
    timings = in_turns(subjects, rounds, report)
    flop = matmul_flop(value_and_gradient, params, key, batch)
    waits = {name: feed.waited / feed.steps for name, feed in fed.items()}
    return Trained(network, workload.batch, n, timings, flop, memory, waits)


class Feed:
    """Batches that record how long the loop waits for them."""

    def __init__(self, batches: Callable[[int], Any]):
        self._batches, self.waited, self.steps = batches, 0.0, 0

    def __call__(self, step: int) -> Any:
        """The batch of a step."""
        started = time.perf_counter()
        batch = self._batches(step)
        self.waited, self.steps = self.waited + time.perf_counter() - started, self.steps + 1
        return batch


def time_variants(
    nets: Mapping[str, nn.Module], workload: Workload, rounds: int, report: Callable[[int], None]
) -> dict[str, Variant]:
    """Time the training steps of networks that differ in precision or memory, relative to the first one's.

    Args:
        nets: by name; all have parameters of the same shapes.
        workload: what is trained, apart from the network.
        rounds: how often everything is timed.
        report: takes the number of each round that has ended.
    """
    steps, memory = {}, {}
    params = parameters(next(iter(nets.values())), workload.shape, workload.seed)
    batch = jnp.asarray(data(workload)[: workload.batch])
    for name, net in nets.items():
        state = create_state(jax.random.key(workload.seed + 1), params, OPTIMIZER)
        compiled = train_step(net).lower(state, batch).compile()
        memory[name] = peak_bytes(compiled)
        steps[name] = continued(compiled, state, batch)
        steps[name](1)
    first = next(iter(steps.values()))
    subjects = {name: Subject(workload.steps, partial(step, workload.steps), first) for name, step in steps.items()}
    timings = in_turns(subjects, rounds, report)
    return {name: Variant(timings[name], memory[name]) for name in nets}

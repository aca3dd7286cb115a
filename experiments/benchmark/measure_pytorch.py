"""Times of the U-Net and of diffusers' in PyTorch: calls, training steps and DDIM at several batch sizes."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from experiments.benchmark import peers
from experiments.benchmark.config import Config
from experiments.benchmark.samplers import PROCESS, grid
from experiments.benchmark.train import CHANNELS, OPTIMIZER, loss_of, network_of, parameters
from experiments.kit.devices import cores_mesh
from experiments.kit.run import Run
from experiments.kit.timing import Subject, Timing, in_turns
from experiments.kit.training import parameter_count
from jaxgen.diffusion import denoiser
from jaxgen.samplers import ddim, sample
from jaxgen.training import batch_sharding, create_state, make_train_step, place, replicated

TASKS = ("call", "training step", "DDIM")


class Against(NamedTuple):
    """A task at one batch size.

    Attributes:
        task: one of TASKS.
        batch: images of a batch.
        count: calls or steps of one measurement; 1 of DDIM, a whole batch of samples.
        threads: threads of PyTorch, one or all, whichever is faster.
        one_device: seconds of each round on one device, and of PyTorch.
        shared: the same where the cores share the batch, a device each; None where they do not.
    """

    task: str
    batch: int
    count: int
    threads: int
    one_device: Timing
    shared: Timing | None


class PyTorch(NamedTuple):
    """All tasks; the sizes of both networks, and the steps of DDIM."""

    tasks: list[Against]
    parameters: int
    peer_parameters: int
    ddim_steps: int


def measure_pytorch(run: Run[Config]) -> PyTorch:
    """Time all tasks; each is a stage."""
    config = run.config
    theirs = peers.network_of(config, jax.default_backend())
    sizes = zip(TASKS, (config.call_batch_sizes, config.step_batch_sizes, config.ddim_batch_sizes), strict=True)
    tasks = [
        run.stage(f"pytorch/{task}-{batch}", partial(_timed, config, theirs, task, batch))
        for task, batches in sizes
        for batch in batches
    ]
    shape = config.size, config.size, CHANNELS
    ours = parameter_count(jax.eval_shape(partial(parameters, network_of(config), shape, config.seed)))
    return PyTorch(tasks, ours, theirs.parameters, config.ddim_steps)


def _timed(config: Config, theirs: peers.Network, task: str, batch: int) -> Against:
    torch_threads = peers.set_threads(theirs, (batch, CHANNELS, config.size, config.size))
    rival = _their_task(config, theirs, task, batch)
    meshes: dict[str, Mesh | None] = {"one device": None}
    if (mesh := cores_mesh(config, batch)) is not None:
        meshes["shared"] = mesh
    subjects = {name: Subject(1, _our_task(config, task, batch, mesh), rival) for name, mesh in meshes.items()}
    for subject in subjects.values():
        subject.run()
    rival(1)
    timings = in_turns(
        subjects, config.rounds, lambda i: config.announce(f"{task}, batch {batch}: round {i}/{config.rounds}")
    )
    count = 1 if task == "DDIM" else config.training_steps
    return Against(task, batch, count, torch_threads, timings["one device"], timings.get("shared"))


def _our_task(config: Config, task: str, batch: int, mesh: Mesh | None) -> Callable[[], Any]:
    """The task in JAX, compiled."""
    net, shape = network_of(config), (config.size, config.size, CHANNELS)
    params, key = parameters(net, shape, config.seed), jax.random.key(config.seed + 1)
    x, keys = jax.random.normal(key, (batch, *shape)), jax.random.split(key, batch)
    layout = None if mesh is None else replicated(mesh)
    if mesh is not None:
        params = place(params, layout)
        x, keys = jax.device_put((x, keys), batch_sharding(mesh))

    if task == "training step":
        state = create_state(key, params, OPTIMIZER)
        if mesh is not None:
            state = place(state, layout)
        steps = _steps(make_train_step(loss_of(net), OPTIMIZER, layout=layout), state, x)
        return lambda: [jax.block_until_ready(next(steps)) for _ in range(config.training_steps)]

    if task == "call":
        call = jax.jit(net.apply).lower(params, x, jnp.float32(0.5)).compile()
        return lambda: [call(params, x, jnp.float32(0.5)).block_until_ready() for _ in range(config.training_steps)]

    times = grid(config.ddim_steps)

    @jax.jit
    def draw(params: Any, keys: jax.Array) -> jax.Array:
        denoise = denoiser(PROCESS, partial(net.apply, params), clip=1.0)
        return sample(keys, PROCESS, denoise, ddim(), times, shape)

    return lambda: draw(params, keys).block_until_ready()


def _steps(step: Callable[..., Any], state: Any, batch: jax.Array) -> Iterator[Any]:
    """Training that goes on from where it was."""
    while True:
        state, metrics = step(state, batch)
        yield metrics


def _their_task(config: Config, theirs: peers.Network, task: str, batch: int) -> Callable[[int], Any]:
    """The same task in PyTorch."""
    shape = batch, CHANNELS, config.size, config.size
    if task == "training step":
        theirs.model.train()
        train = peers.training(theirs, shape, config.training_steps)
        return lambda n: train()
    theirs.model.eval()
    if task == "call":
        call = peers.bare_calls(theirs, shape, config.training_steps)
        return lambda n: call()
    draw = peers.subject(theirs, "ddim", config.ddim_steps, config.ddim_steps, shape)
    return lambda n: draw.run()

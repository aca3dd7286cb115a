"""A network on a device, and the samplers compiled for it."""

import time
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.config import Config
from experiments.benchmark.cost import peak_bytes
from experiments.benchmark.flops import matmul_flop
from experiments.benchmark.samplers import GENERATED, PROCESS, fixed_calls, grid, of_grid, solvers
from experiments.benchmark.train import CHANNELS, network_of, parameters
from experiments.kit.call_counting import Counter
from experiments.kit.run import BadInput
from experiments.kit.timing import Subject
from experiments.kit.training import parameter_count
from jaxgen import generation, samplers
from jaxgen.diffusion import denoiser


class Compiled(NamedTuple):
    """A compiled sampler.

    Attributes:
        subject: what is timed.
        compile_seconds: seconds of tracing, lowering and compiling.
        first_call_seconds: the same and one run.
        memory_bytes: memory while a batch runs.
        batches: batches that one run draws.
    """

    subject: Subject
    compile_seconds: float
    first_call_seconds: float
    memory_bytes: float
    batches: int = 1


class Bench:
    """One network at one batch size on one device, and the samplers compiled for it."""

    def __init__(self, config: Config, device: jax.Device, batch: int):
        self.device, self.batch, self.shape = device, batch, (config.size, config.size, CHANNELS)
        self.times, self.fixed, self.solvers = grid(config.steps), of_grid(config.steps), solvers(config.steps)
        self.net = network_of(config, config.precision)
        self._seed, self._compiled = config.seed, {}
        params = parameters(self.net, self.shape, config.seed)
        rng = np.random.default_rng(config.seed)
        # The output layer is 0 at initialisation, and the samplers of a network of zeros would be trivial.
        params = jax.tree.map(lambda leaf: np.float32(leaf + 0.02 * rng.normal(size=leaf.shape)), params)
        x, keys = rng.normal(size=(batch, *self.shape)), jax.random.split(jax.random.key(config.seed + 1), batch)
        self.params, self.keys, self.x, self.t = jax.device_put((params, keys, np.float32(x), np.float32(0.5)), device)
        # The reference is one compiled loop of nothing but the calls. Each call takes the output of the one before, so
        # that none can be left out. Calls from Python would add their dispatch, which a sampler does not have.
        self._loop = jax.jit(self._bare).lower(self.params, self.x, 2).compile()
        self._call = jax.jit(self._network).lower(self.params, self.x, self.t).compile()
        self.loop(2)
        self.calls(2)

    @property
    def parameters(self) -> int:
        """Number of the network's parameters."""
        return parameter_count(self.params)

    @property
    def flop(self) -> int:
        """Operations of the matrix products and convolutions of a network call."""
        return matmul_flop(self._network, self.params, self.x, self.t)

    def loop(self, n: int) -> None:
        """n network calls in one compiled loop."""
        self._loop(self.params, self.x, n).block_until_ready()

    def calls(self, n: int) -> None:
        """n compiled network calls, each from Python."""
        x = self.x
        for _ in range(n):
            x = self._call(self.params, x, self.t)
        x.block_until_ready()

    def compile(self, name: str) -> Compiled:
        """A compiled sampler; raises FloatingPointError if it draws values that are not finite."""
        if name not in self._compiled:
            self._compiled[name] = self._generated("ddim", batches=4) if name == GENERATED else self._sampler(name)
        return self._compiled[name]

    def _sampler(self, name: str) -> Compiled:
        started = time.perf_counter()
        executable = jax.jit(partial(self._draw, name)).lower(self.params, self.keys).compile()
        compiled = time.perf_counter()
        drawn = executable(self.params, self.keys).block_until_ready()
        first = time.perf_counter()
        if not bool(jnp.isfinite(drawn).all()):
            raise FloatingPointError(f"{name} drew values that are not finite")
        subject = Subject(self._count(name), lambda: executable(self.params, self.keys).block_until_ready(), self.loop)
        return Compiled(subject, compiled - started, first - started, peak_bytes(executable))

    def _generated(self, name: str, batches: int) -> Compiled:
        """Several batches of a sampler one after the other, each written to disk."""
        compiled, key = self.compile(name), jax.random.key(self._seed + 2)

        def draw(params: Any, keys: jax.Array, cond: None) -> jax.Array:
            return self._draw(name, params, keys)

        def run() -> None:
            with TemporaryDirectory() as directory:
                generation.generate(
                    draw, self.params, key, batches * self.batch, batch_size=self.batch, directory=directory,
                    progress=False,
                )  # fmt: skip

        run()
        return compiled._replace(subject=Subject(batches * compiled.subject.calls, run, self.loop), batches=batches)

    def _network(self, params: Any, x: jax.Array, t: jax.Array) -> jax.Array:
        return self.net.apply(params, x, jnp.broadcast_to(t, x.shape[:1]))

    def _bare(self, params: Any, x: jax.Array, n: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, n, lambda i, x: self._network(params, x, (n - i) / n), x)

    def _draw(self, name: str, params: Any, keys: jax.Array, counter: Counter | None = None) -> jax.Array:
        network = partial(self.net.apply, params)
        denoise = denoiser(PROCESS, network if counter is None else counter.around(network), clip=1.0)
        if name in self.solvers:
            return self.solvers[name](keys, PROCESS, denoise, self.shape).x
        return samplers.sample(keys, PROCESS, denoise, self.fixed[name], self.times, self.shape)

    def _count(self, name: str) -> int:
        """Network calls of a sampler; those of an adaptive one depend on the network."""
        if name in self.fixed:
            return fixed_calls(name, len(self.times) - 1)
        counter = Counter()
        jax.jit(partial(self._draw, name, counter=counter))(self.params, self.keys).block_until_ready()
        return counter.calls


def find_devices(names: tuple[str, ...]) -> list[jax.Device]:
    """The first device of each platform.

    Args:
        names: platforms such as "cpu" and "gpu"; none for JAX's default.

    Raises:
        BadInput: if JAX finds no device of a platform, or two names mean the same device.
    """
    flag = f"--devices {' '.join(names)}"
    try:
        devices = [jax.devices(name)[0] for name in names] or jax.devices()[:1]
    except RuntimeError as error:
        raise BadInput(f"{flag}: {error}") from error
    if len(set(devices)) < len(devices):
        raise BadInput(f"{flag} names a device twice: name each platform once")
    return devices

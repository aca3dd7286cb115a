"""The speed of every sampler, and of training: what both cost beyond the network, and beside diffusers.

The network has random weights: only time is measured, and the time of a call does not depend on what was learned.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import diffrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments import benchmark_peers as peers
from experiments import benchmark_report as figures
from experiments import benchmark_training_report as training
from experiments import launch
from experiments.calls import Counter, network_calls
from experiments.timing import Subject, in_turns
from jaxgen import generation, samplers
from jaxgen.diffusion import denoiser, log_snr_grid, vp
from jaxgen.nets import UNet
from jaxgen.report import Report
from jaxgen.samplers import sample_ode, sample_sde

PROCESS = vp()
CHANNELS, HEAD_CHANNELS = 3, 64


def grid(steps: int) -> np.ndarray:
    """Times even in log-SNR from the prior's, then 0: the last step is that to clean data."""
    return log_snr_grid(PROCESS, steps, log_snr_min=float(PROCESS.log_snr(1.0)))


def fixed_step(sigma: float) -> dict[str, samplers.Sampler]:
    """Every sampler that takes the steps of a grid whose last noise level is sigma."""
    return {
        "ddpm": samplers.ddpm(),
        "ddim": samplers.ddim(),
        "euler": samplers.euler(),
        "euler_maruyama": samplers.euler_maruyama(),
        "reverse_diffusion": samplers.reverse_diffusion(),
        "heun": samplers.heun(),
        "heun, churn": samplers.heun(churn=0.2),
        "dpmpp_1": samplers.dpmpp_1(),
        "dpmpp_2s": samplers.dpmpp_2s(),
        "dpmpp_2m": samplers.dpmpp_2m(),
        "dpmpp_2m_sde": samplers.dpmpp_2m_sde(),
        "langevin": samplers.langevin(0.1 * sigma**2),
        "annealed_langevin": samplers.annealed_langevin(0.1 * sigma**2, sigma, steps=2, final_denoising=True),
        "predictor_corrector": samplers.predictor_corrector(
            samplers.reverse_diffusion(), samplers.langevin_corrector()
        ),
    }


def of_grid(steps: int) -> dict[str, samplers.Sampler]:
    """Those samplers for `grid(steps)`."""
    return fixed_step(float(PROCESS.sigma(grid(steps)[-2])))


def solvers(steps: int) -> dict[str, Callable[..., Any]]:
    """diffrax's solvers, (keys, process, denoise, shape) -> ODESample: adaptive steps, and the SDE in equal ones."""
    coarse = diffrax.PIDController(rtol=0.1, atol=0.1)
    return {
        "sample_ode, adaptive": partial(sample_ode, controller=coarse, t_min=1e-2),
        "sample_sde, equal steps": partial(sample_sde, steps=steps, t_min=1e-2),
    }


FIXED = tuple(fixed_step(1.0))
GENERATED = "ddim, by generate"
NAMES = (*FIXED, *solvers(2), GENERATED)


@dataclass(frozen=True)
class Config:
    """Time every sampler against its bare network calls, and against diffusers where that is installed."""

    preset: Literal["default", "smoke", "paper"] = "default"
    """default: minutes on 2 cores; smoke: seconds; paper: a larger network and batches, for a GPU."""
    batch_sizes: tuple[int, ...] = (64, 8, 1)
    """Batch sizes; the first is timed for every sampler, the others for those in --few."""
    few: tuple[str, ...] = ("ddpm", "ddim", "heun", "dpmpp_2m")
    """Samplers that are timed at the other batch sizes."""
    devices: tuple[str, ...] = ()
    """Platforms such as cpu gpu; without it, the one that jax takes by itself."""
    steps: int = 8
    """Steps of every sampler."""
    rounds: int = 5
    """How often everything is timed, in turns."""
    features: int = 32
    """Channels of the U-Net's first level."""
    multipliers: tuple[int, ...] = (1, 2, 2)
    """Channels of its levels, in those of the first."""
    size: int = 16
    """Height and width of the images in pixels."""
    peers: Literal["auto", "off", "on"] = "auto"
    """Time diffusers beside: where it is installed, never, or refuse to run without it."""
    part: Literal["all", "sampling", "training"] = "all"
    """What to time."""
    training_steps: int = 4
    """Training steps of the U-Net that are timed together."""
    mlp_batch_sizes: tuple[int, ...] = (256, 2048)
    """Batches of a small network whose training is timed too; it sees 12,800 examples for each of those steps."""
    training_devices: tuple[int, ...] = (1, 2, 8)
    """Numbers of devices to train on; on a CPU they share its cores."""
    runs: Path = Path("runs")
    """Where the run's directory is made."""
    resume: tyro.conf.Suppress[Path | None] = None

    def __post_init__(self) -> None:
        """Refuse what could only fail after compiling."""
        if not self.batch_sizes or min(self.batch_sizes) < 1 or len(set(self.batch_sizes)) < len(self.batch_sizes):
            raise ValueError(f"--batch-sizes must be positive and differ from each other, got {self.batch_sizes}")
        if self.steps < 2:
            raise ValueError(f"--steps must be at least 2, so that multistep samplers take theirs, got {self.steps}")
        if self.rounds < 2:
            raise ValueError(f"--rounds must be at least 2, each order of timing once, got {self.rounds}")
        counts = self.training_steps, *self.training_devices, *self.mlp_batch_sizes
        if not self.training_devices or min(counts) < 1:
            raise ValueError(
                f"--training-steps, --training-devices and --mlp-batch-sizes are positive, got {self.training_steps}, "
                f"{self.training_devices} and {self.mlp_batch_sizes}"
            )
        if indivisible := [n for n in self.training_devices if self.batch_sizes[0] % n]:
            raise ValueError(f"--training-devices {indivisible} do not divide the batch of {self.batch_sizes[0]}")
        if unknown := set(self.few) - set(NAMES):
            raise ValueError(f"--few names {sorted(unknown)}: choose from {', '.join(NAMES)}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", batch_sizes=(4, 1), few=("ddim",), steps=5, rounds=2, features=8, multipliers=(1,), size=8,
        training_steps=1, training_devices=(1, 2), mlp_batch_sizes=(64,),
    ),
    "paper": Config(
        preset="paper", batch_sizes=(64, 256, 1), few=NAMES, steps=50, rounds=9, features=128, multipliers=(1, 2, 2),
        size=32,
    ),
}  # fmt: skip


def build(config: Config) -> nn.Module:
    """The network that all samplers call."""
    return UNet(config.features, config.multipliers, head_channels=HEAD_CHANNELS)


class Compiled(NamedTuple):
    """A sampler ready to be timed, and what making it ready took: seconds, and bytes of memory while a batch runs."""

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
        self.net = build(config)
        params = jax.jit(self.net.init)(jax.random.key(0, impl="rbg"), jnp.zeros((1, *self.shape)), jnp.zeros(1))
        rng = np.random.default_rng(0)
        # the output layer begins at 0, and a network that says nothing draws nothing
        params = jax.tree.map(lambda leaf: np.float32(leaf + 0.02 * rng.normal(size=leaf.shape)), params)
        x, keys = rng.normal(size=(batch, *self.shape)), jax.random.split(jax.random.key(1), batch)
        self.params, self.keys, self.x, self.t = jax.device_put((params, keys, np.float32(x), np.float32(0.5)), device)
        # The yardstick is one compiled loop that holds nothing but the calls, each fed with the last one's output so
        # that none can be left out: unlike calls from Python it gives the sampler no credit for their dispatch.
        self._loop = jax.jit(self._bare).lower(self.params, self.x, 2).compile()
        self._call = jax.jit(self._network).lower(self.params, self.x, self.t).compile()
        self.loop(2)
        self.calls(2)

    @property
    def parameters(self) -> int:
        """Size of the network."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))

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
        """A sampler made ready; raises FloatingPointError where it draws values that are not finite."""
        if name == GENERATED:
            return self._generated("ddim", batches=4)
        started = time.perf_counter()
        executable = jax.jit(partial(self._draw, name)).lower(self.params, self.keys).compile()
        compiled = time.perf_counter()
        drawn = executable(self.params, self.keys).block_until_ready()
        first = time.perf_counter()
        if not bool(jnp.isfinite(drawn).all()):
            raise FloatingPointError(f"{name} drew values that are not finite")
        memory = executable.memory_analysis()
        size = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
        subject = Subject(self._count(name), lambda: executable(self.params, self.keys).block_until_ready(), self.loop)
        return Compiled(subject, compiled - started, first - started, size - memory.alias_size_in_bytes)

    def _generated(self, name: str, batches: int) -> Compiled:
        """Several batches of a sampler one after the other, each written to disk."""
        made, key = self.compile(name), jax.random.key(2)

        def draw(params: Any, keys: jax.Array, cond: None) -> jax.Array:
            return self._draw(name, params, keys)

        def run() -> None:
            with TemporaryDirectory() as directory:
                generation.generate(
                    draw, self.params, key, batches * self.batch, batch_size=self.batch, directory=directory,
                    progress=False,
                )  # fmt: skip

        run()
        return made._replace(subject=Subject(batches * made.subject.calls, run, self.loop), batches=batches)

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
        """Network calls of a sampler; how many an adaptive one makes depends on the network."""
        if name in self.fixed:
            return fixed_calls(name, len(self.times) - 1)
        counter = Counter()
        jax.jit(partial(self._draw, name, counter=counter))(self.params, self.keys).block_until_ready()
        return counter.calls


@cache
def fixed_calls(name: str, steps: int) -> int:
    """Network calls of a fixed-step sampler, whatever the network and batch."""
    return network_calls(of_grid(steps)[name], PROCESS, grid(steps))


def find_devices(names: tuple[str, ...]) -> list[jax.Device]:
    """The first device of each platform; raises BadInput for a platform that jax does not see."""
    try:
        return [jax.devices(name)[0] for name in names] or jax.devices()[:1]
    except RuntimeError as error:
        raise launch.BadInput(f"--devices {' '.join(names)}: {error}") from error


def measure(
    config: Config, bench: Bench, names: Sequence[str], other: peers.Network | None, where: str, load: float
) -> figures.Result:
    """Compiles and times the samplers of these names, and their peers in diffusers."""
    steps = config.steps
    subjects, compiled, theirs = {"": Subject(steps, lambda: bench.calls(steps), bench.loop)}, {}, {}
    shape = bench.batch, CHANNELS, config.size, config.size
    their_threads = None if other is None else peers.set_threads(other, shape)
    for i, name in enumerate(names):
        compiled[name] = bench.compile(name)
        print(f"{where}: {i + 1}/{len(names)} {name} compiled in {compiled[name].compile_seconds:.1f} s", flush=True)
        subjects[name] = compiled[name].subject
        if other is not None and name in peers.SCHEDULERS:
            theirs[name] = peers.subject(other, name, steps, subjects[name].calls, shape)
            subjects[f"{name}, theirs"] = theirs[name]
    timings = in_turns(subjects, config.rounds, lambda i: print(f"{where}: round {i}/{config.rounds}", flush=True))
    compared = {name: figures.Peer(theirs[name].calls, timings[f"{name}, theirs"]) for name in theirs}
    return figures.Result(
        bench.device, bench.batch, load, compiled, timings, timings[""], steps, compared, their_threads
    )


def main(config: Config) -> Path:
    """Run the benchmark and return the path of its report."""
    load = os.getloadavg()[0]
    devices, with_peers = find_devices(config.devices), peers.wanted(config.peers)
    directory = launch.begin("benchmark", config)
    report = Report(
        "Speed of sampling and training",
        "What does a sample cost beyond its network calls, and a training step beyond its gradient? How does that "
        "compare with diffusers?",
        launch.command("experiments.benchmark"),
        config,
    )
    print(f"writing {directory}")
    results, facts, parameters = [], figures.environment(devices), {}
    for device in devices:
        other = None
        if with_peers:
            sizes = config.features, config.multipliers, config.size, CHANNELS, HEAD_CHANNELS
            other = peers.network(*sizes, device.platform)
            parameters["diffusers"] = other.parameters
            facts |= other.versions
        for batch in config.batch_sizes if config.part != "training" else ():
            bench = Bench(config, device, batch)
            parameters["ours"] = bench.parameters
            names = [name for name in NAMES if name in config.few or batch == config.batch_sizes[0]]
            results.append(measure(config, bench, names, other, f"{device.platform}, batch {batch}", load))
        if config.part != "sampling" and device is devices[0]:
            training.write(report, config, build(config), other, partial(print, flush=True))
    if results:
        figures.write(report, results, FIXED, facts, parameters)
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

"""Times of the samplers, and of those of diffusers, at one batch size on one device."""

from typing import NamedTuple

import jax
import numpy as np

from experiments.benchmark import peers
from experiments.benchmark.bench import Bench
from experiments.benchmark.config import Config
from experiments.benchmark.samplers import FIXED, NAMES
from experiments.benchmark.train import CHANNELS
from experiments.kit.timing import Spread, Subject, Timing, in_turns, overhead, spread, threads


class Sampled(NamedTuple):
    """A sampler.

    Attributes:
        calls: network calls of a run.
        timing: seconds of each round.
        batches: batches that one run draws.
        compile_seconds: seconds of tracing, lowering and compiling.
        first_call_seconds: the same and one run.
        memory_bytes: memory while a batch runs.
    """

    calls: int
    timing: Timing
    batches: int
    compile_seconds: float
    first_call_seconds: float
    memory_bytes: float


class Peer(NamedTuple):
    """diffusers' sampler: its name there, its network calls and its seconds of each round."""

    scheduler: str
    calls: int
    timing: Timing


class Sampling(NamedTuple):
    """All samplers at one batch size on one device.

    Attributes:
        platform: the device's platform.
        device_kind: the device's name.
        batch: images of a batch.
        load: the machine's load average before the run began.
        threads: threads that can run at once.
        parameters: size of our network.
        flop: operations of the matrix products and convolutions of a network call.
        peak: FLOP per second of the largest matrix product, in the network's precision.
        single: seconds of `single_calls` network calls from Python, and in a compiled loop.
        single_calls: the number of those calls.
        samplers: by name.
        peers: by our name; empty without diffusers.
        peer_parameters: size of diffusers' network.
        peer_threads: threads of PyTorch.
        device_peak_bytes: the most memory that the device has had in use, if it says.
    """

    platform: str
    device_kind: str
    batch: int
    load: float
    threads: int
    parameters: int
    flop: int
    peak: float
    single: Timing
    single_calls: int
    samplers: dict[str, Sampled]
    peers: dict[str, Peer]
    peer_parameters: int | None
    peer_threads: int | None
    device_peak_bytes: int | None

    @property
    def name(self) -> str:
        """The device and batch size, for names of figures."""
        return f"{self.platform}-{self.batch}"

    @property
    def where(self) -> str:
        """The device and batch size in words."""
        return f"{self.platform.upper()}, batch {self.batch}"

    @property
    def busy(self) -> bool:
        """Whether other programs used a good part of the machine."""
        return self.load > 0.3 * self.threads

    @property
    def loop_ms(self) -> Spread:
        """Milliseconds of a network call in a compiled loop."""
        return spread(1e3 * self.single.network / self.single_calls)

    @property
    def python_ms(self) -> Spread:
        """Milliseconds of a network call from Python."""
        return spread(1e3 * self.single.run / self.single_calls)

    @property
    def peer_ms(self) -> Spread:
        """Milliseconds of a call of diffusers' network."""
        return spread(np.concatenate([1e3 * peer.timing.network / peer.calls for peer in self.peers.values()]))

    @property
    def overheads(self) -> dict[str, Spread]:
        """The time of each sampler relative to its network calls."""
        return {name: overhead(sampled.timing) for name, sampled in self.samplers.items()}

    @property
    def fixed_overheads(self) -> dict[str, float]:
        """The median overheads of the samplers of fixed steps, from the smallest to the largest."""
        medians = {name: value.median for name, value in self.overheads.items() if name in FIXED}
        return dict(sorted(medians.items(), key=lambda item: item[1]))

    @property
    def ratios(self) -> dict[str, float]:
        """The median times relative to diffusers, from the smallest to the largest."""
        medians = {name: spread(self.ratio(name)).median for name in self.peers}
        return dict(sorted(medians.items(), key=lambda item: item[1]))

    @property
    def network_ratio(self) -> float:
        """The median time of our bare network relative to that of diffusers."""
        return float(np.median([self.network_ratio_of(name) for name in self.peers]))

    def utilisation(self, name: str) -> float:
        """The share of the peak that a sampler's network calls reach (MFU)."""
        sampled = self.samplers[name]
        return float(sampled.calls * self.flop / np.median(sampled.timing.run) / self.peak)

    def ratio(self, name: str) -> np.ndarray:
        """The time of a sampler relative to that of diffusers, (rounds,)."""
        return self.samplers[name].timing.run / self.peers[name].timing.run

    def network_ratio_of(self, name: str) -> float:
        """The median time of our bare network relative to that of diffusers, in the rounds of a sampler."""
        ours, theirs = self.samplers[name], self.peers[name]
        return float(np.median((ours.timing.network / ours.calls) / (theirs.timing.network / theirs.calls)))


def measure_sampling(
    config: Config, device: jax.Device, batch: int, peak: float, *, with_peers: bool, load: float
) -> Sampling:
    """Compile and time the samplers, and those of diffusers."""
    where, steps = f"{device.platform}, batch {batch}", config.steps
    chosen = config.samplers if batch == config.batch_sizes[0] else config.few
    names = [name for name in NAMES if name in chosen]
    bench, shape = Bench(config, device, batch), (batch, CHANNELS, config.size, config.size)
    theirs = peers.network_of(config, device.platform) if with_peers else None
    peer_threads = None if theirs is None else peers.set_threads(theirs, shape)
    subjects = {("calls",): Subject(steps, lambda: bench.calls(steps), bench.loop)}
    compiled = {}
    for i, name in enumerate(names, start=1):
        compiled[name] = bench.compile(name)
        config.announce(f"{where}: {i}/{len(names)} {name} compiled in {compiled[name].compile_seconds:.1f} s")
        subjects["ours", name] = compiled[name].subject
        if theirs is not None and name in peers.SCHEDULERS:
            subjects["theirs", name] = peers.subject(theirs, name, steps, compiled[name].subject.calls, shape)
    timings = in_turns(subjects, config.rounds, lambda i: config.announce(f"{where}: round {i}/{config.rounds}"))
    samplers = {
        name: Sampled(
            made.subject.calls, timings["ours", name], made.batches, made.compile_seconds, made.first_call_seconds,
            made.memory_bytes,
        )
        for name, made in compiled.items()
    }  # fmt: skip
    compared = {
        name: Peer(
            peers.SCHEDULERS[name][0].removesuffix("Scheduler"), subjects["theirs", name].calls, timings["theirs", name]
        )
        for name in names
        if ("theirs", name) in subjects
    }
    return Sampling(
        platform=device.platform,
        device_kind=device.device_kind,
        batch=batch,
        load=load,
        threads=threads(),
        parameters=bench.parameters,
        flop=bench.flop,
        peak=peak,
        single=timings[("calls",)],
        single_calls=steps,
        samplers=samplers,
        peers=compared,
        peer_parameters=None if theirs is None else theirs.parameters,
        peer_threads=peer_threads,
        device_peak_bytes=(device.memory_stats() or {}).get("peak_bytes_in_use"),
    )

"""Times of rivals that are compared by ratios: run in turns, so that a busy machine disturbs both sides alike."""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np


class Subject(NamedTuple):
    """A sampler to time and the bare network calls it is held against; both return when their work is done."""

    calls: int
    run: Callable[[], Any]
    network: Callable[[int], Any]


class Timing(NamedTuple):
    """Seconds of each round, (rounds,): of the sampler, and of as many bare network calls right beside it."""

    run: np.ndarray
    network: np.ndarray


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float


def spread(values: np.ndarray) -> Spread:
    """Median and quartiles of values (n,)."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Spread(float(median), float(low), float(high))


def overhead(timing: Timing) -> Spread:
    """Sampler over network, round by round."""
    return spread(timing.run / timing.network)


def threads() -> int:
    """Threads that run at once in this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds(work: Callable[[], Any]) -> float:
    """Wall-clock seconds of work that waits for its own end."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(subjects: Mapping[str, Subject], rounds: int, report: Callable[[int], None]) -> dict[str, Timing]:
    """Times every subject and its network once per round, who goes first alternating; reports each round's end."""
    runs, networks = {name: [] for name in subjects}, {name: [] for name in subjects}
    for i in range(rounds):
        for name, subject in subjects.items():
            pair = [(runs, subject.run), (networks, partial(subject.network, subject.calls))]
            for store, work in pair if i % 2 else reversed(pair):
                store[name].append(seconds(work))
        report(i + 1)
    return {name: Timing(np.array(runs[name]), np.array(networks[name])) for name in subjects}

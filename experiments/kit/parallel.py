"""Trainings that do not need one another, each on a core of its own: small ones leave the other cores idle."""

import queue
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import jax

from experiments.kit.devices import cores_devices
from experiments.kit.run import Run
from jaxgen.core import progress_bar
from jaxgen.training import stop_on_signals

Result = TypeVar("Result")


def in_parallel(run: Run, jobs: Mapping[str, Callable[[Run], Result]]) -> dict[str, Result]:
    """The results of jobs, in their order, of which each core computes one at a time.

    A job computes on one device whatever the number of cores, so its result does not depend on it. Long jobs come
    first, lest the last core to end has one to itself. On a GPU, or on one core, the jobs follow one another.

    Args:
        run: the run, whose config says which cores it may use.
        jobs: functions of the run as a job sees it, which uses one core and has a progress bar only if it is alone.

    Raises:
        Interrupted: if SIGINT or SIGTERM arrives, when each training under way has saved its state.
        BaseException: the first error of a job; the jobs under way are stopped as by a signal.
    """
    alone = replace(run, config=replace(run.config, cores=1))
    devices = cores_devices(run.config, len(jobs))
    if len(devices) < 2:
        return {name: job(alone) for name, job in jobs.items()}
    alone = replace(alone, config=replace(alone.config, progress=False))
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in jobs:
        waiting.put(name)
    results: dict[str, Any] = {}
    errors: list[BaseException] = []
    with progress_bar(0, len(jobs), unit="trainings", visible=run.config.progress) as show, stop_on_signals() as stop:

        def work(device: jax.Device) -> None:
            with jax.default_device(device):
                while not errors and stop.received is None:
                    try:
                        name = waiting.get_nowait()
                        results[name] = jobs[name](alone)
                    except queue.Empty:
                        return
                    except BaseException as error:
                        errors.append(error)
                        stop.received = stop.received or signal.SIGTERM
                    show(len(results), name)

        # daemons, so that a second Ctrl-C ends the process
        workers = [threading.Thread(target=work, args=(device,), daemon=True) for device in devices]
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(0.1)  # briefly, so that the main thread sees a signal that another one got
    if errors:
        raise errors[0]
    if len(results) < len(jobs):  # the signal came when no training was under way
        raise KeyboardInterrupt
    return {name: results[name] for name in jobs}

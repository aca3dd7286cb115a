"""Signals that end a training run after the current step."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jax.experimental import multihost_utils


@dataclass
class StopRequest:
    """What asked trainings to stop.

    Attributes:
        received: the first signal, or None.
    """

    received: signal.Signals | None = None


_of_main_thread: StopRequest | None = None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Record SIGINT and SIGTERM instead of ending the process; a Ctrl-C after either raises KeyboardInterrupt.

    `fit` does so itself. Around trainings in several threads, the main thread calls it, so that a signal stops them
    all: Python allows handlers in the main thread only, and a `fit` in any other thread sees what that recorded. The
    previous handlers are restored at the end.

    Yields:
        What was received so far. Setting it stops the trainings as a signal does.

    Example:
        ```python
        with stop_on_signals() as stop:
            for thread in threads:  # each of which calls fit
                thread.start()
            for thread in threads:
                thread.join()
        ```
    """
    global _of_main_thread
    if threading.current_thread() is not threading.main_thread():
        yield _of_main_thread or StopRequest()
        return
    request, outer = StopRequest(), _of_main_thread

    def record(number: int, _frame: object) -> None:
        if request.received is None:
            request.received = signal.Signals(number)
            # write, not print: a handler may run in the middle of another print
            os.write(2, b"\nStopping after this step; Ctrl-C to abort at once.\n")
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    previous = {}
    try:
        _of_main_thread = request
        for number in (signal.SIGINT, signal.SIGTERM):
            # ignored signals stay ignored (nohup, background jobs of a shell)
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, record)
        yield request
    finally:
        _of_main_thread = outer
        for number, handler in previous.items():
            signal.signal(number, handler or signal.SIG_DFL)


def agreed_signal(request: StopRequest) -> signal.Signals | None:
    """Return the signal that any process received; all processes must call it at the same point."""
    numbers = multihost_utils.process_allgather(np.int32(request.received or 0))
    return signal.Signals(int(numbers.max())) if numbers.any() else None

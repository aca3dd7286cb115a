"""Stopping on a signal, but not in the middle of a step."""

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
    """The signal that asked the run to stop, None as long as none has."""

    received: signal.Signals | None = None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Note SIGINT and SIGTERM instead of dying; a Ctrl-C after either raises KeyboardInterrupt at once.

    The old handlers come back at the end. Outside the main thread, where Python allows no handlers, it does nothing.
    """
    request = StopRequest()

    def note(number: int, _frame: object) -> None:
        if request.received is None:
            request.received = signal.Signals(number)
            # write, not print: a handler may run in the middle of another print
            os.write(2, b"\nStopping after this step; Ctrl-C to abort at once.\n")
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    old = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # ignored signals stay ignored (nohup, background jobs of a shell)
                if signal.getsignal(number) is not signal.SIG_IGN:
                    old[number] = signal.signal(number, note)
        yield request
    finally:
        for number, handler in old.items():
            signal.signal(number, handler or signal.SIG_DFL)


def agreed(request: StopRequest) -> signal.Signals | None:
    """The signal that any of several processes was sent; all of them must ask together."""
    numbers = multihost_utils.process_allgather(np.int32(request.received or 0))
    return signal.Signals(int(numbers.max())) if numbers.any() else None

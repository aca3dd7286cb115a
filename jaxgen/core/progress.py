"""A progress bar with the rate of progress."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f} {task.fields['unit']}/s" if speed else "", no_wrap=True)


@contextmanager
def progress_bar(
    first: int, total: int, *, label: str = "training", unit: str = "steps", visible: bool = True
) -> Iterator[Callable[[int, str], None]]:
    """A progress bar on stderr, as a context manager.

    Args:
        first: how much was done before; the bar starts there.
        total: how much there is to do.
        label: text before the bar.
        unit: plural of what is counted, for the rate.
        visible: whether to draw the bar.

    Yields:
        A function `show(done, status)`. It draws at most ten times a second, so it may be called at every step.
    """
    if not visible:
        yield lambda done, status: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
    )
    task = bar.add_task(label, completed=first, total=total, status="", unit=unit)
    due = 0.0

    def show(done: int, status: str) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due or done == total:
            due = now + 0.1
            bar.update(task, completed=done, status=status)

    with bar:
        yield show

"""The metrics of a run: written as JSON lines, fetched from the device one row late, and read back as curves."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxgen.core import write_atomically
from jaxgen.training.disk import describe_disk

Row = dict[str, float | int]


@dataclass(frozen=True)
class History:
    """The logged rows, ascending in step; `history["loss"]` is the curve (steps, values)."""

    rows: list[Row]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "History":
        """Read a metrics.jsonl; an incomplete last line is dropped.

        Args:
            path: the file that `fit` wrote as its `log`.

        Returns:
            The history of its rows.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if another line is no JSON object with a step.
        """
        *lines, tail = Path(path).read_text().split("\n")
        rows = []
        for number, line in enumerate([*lines, tail] if _is_row(tail) else lines, 1):
            if not _is_row(line):
                raise ValueError(f"{path}, line {number}: expected a JSON object with a step, got {line[:80]!r}")
            rows.append(json.loads(line))
        return cls(rows)

    @property
    def names(self) -> list[str]:
        """The names of the metrics, in order of appearance."""
        return [name for name in dict.fromkeys(name for row in self.rows for name in row) if name != "step"]

    def __getitem__(self, name: str) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        rows = [row for row in self.rows if name in row]
        if not rows:
            raise KeyError(f"no metric {name!r}; logged: {', '.join(self.names) or 'nothing'}")
        return np.array([row["step"] for row in rows]), np.array([row[name] for row in rows], np.float64)


class MetricsLog:
    """A file to which rows of metrics are appended.

    Every method raises OSError if a row cannot be written; the rows before it are safe.

    Args:
        path: the file, or None to keep the rows in memory only.
        step: the step at which the run starts; later rows in the file are dropped.
        writes: whether this process writes. Of several processes one does; the others read the file and keep their
            rows in memory.
    """

    def __init__(self, path: str | os.PathLike[str] | None, step: int = 0, *, writes: bool = True):
        self._pending: tuple[int, Mapping[str, Any]] | None = None
        self._file = None
        self._path = path
        rows: list[Row] = []
        if path is not None:
            self._path = path = Path(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                rows = [row for row in History.read(path).rows if row["step"] <= step]
        if path is not None and writes:
            with self._writing():
                text = "".join(json.dumps(row) + "\n" for row in rows)
                write_atomically(path, lambda file: file.write(text.encode()))
                self._file = path.open("a")
        self.history = History(rows)

    def push(self, step: int, metrics: Mapping[str, Any]) -> Row | None:
        """Start to fetch these scalars; write and return the row pushed before them."""
        if "step" in metrics:
            raise ValueError("no metric may be called step: it is the key of the row")
        for name, value in metrics.items():
            if np.shape(value) != ():
                raise ValueError(f"metrics must be scalars: {name!r} has shape {np.shape(value)}; take its mean")
        row = self._fetch()
        # copied, because a metric may be a part of the state, which the next step donates
        copies = {name: jnp.copy(v) if isinstance(v, jax.Array) else v for name, v in metrics.items()}
        for copy in copies.values():
            if isinstance(copy, jax.Array):
                copy.copy_to_host_async()
        self._pending = step, copies
        return row

    def flush(self) -> Row | None:
        """Write and return the pending row, and synchronise the file with the disk."""
        row = self._fetch()
        if self._file is not None:
            with self._writing():
                os.fsync(self._file.fileno())
        return row

    def close(self) -> None:
        """Close the file and drop the pending row."""
        if self._file is not None:
            self._file.close()

    def _fetch(self) -> Row | None:
        if self._pending is None:
            return None
        row = fetch_row(*self._pending)
        self._pending = None
        self.history.rows.append(row)
        if self._file is not None:
            with self._writing():
                self._file.write(json.dumps(row) + "\n")
                self._file.flush()
        return row

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._file is not None:
                with suppress(OSError):  # closing tries, and fails, to write the rest
                    self._file.close()
                self._file = None
            raise OSError(f"{self._path} could not be written ({describe_disk(self._path)}): {error}") from error


def fetch_row(step: int, metrics: Mapping[str, Any]) -> Row:
    """Return the metrics as Python floats, waiting for the device if necessary."""
    return {"step": step, **{name: float(value) for name, value in jax.device_get(dict(metrics)).items()}}


def _is_row(line: str) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict) and "step" in row

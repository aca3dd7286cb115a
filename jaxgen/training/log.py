"""The metrics of a run: rows on disk as JSON lines, fetched from the device one row late, and read back as curves."""

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

from jaxgen.training.disk import disk_of

Row = dict[str, float | int]


@dataclass(frozen=True)
class History:
    """The logged rows, ascending in step: `history["loss"]` is the curve (steps, values)."""

    rows: list[Row]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "History":
        """The rows of a metrics.jsonl; drops a last line cut short by a kill, raises ValueError for one elsewhere."""
        *lines, tail = Path(path).read_text().split("\n")
        rows = []
        for number, line in enumerate([*lines, tail] if _is_row(tail) else lines, 1):
            if not _is_row(line):
                raise ValueError(f"{path}, line {number}: expected a JSON object with a step, got {line[:80]!r}")
            rows.append(json.loads(line))
        return cls(rows)

    @property
    def names(self) -> list[str]:
        """The metrics there are, in order of appearance."""
        return [name for name in dict.fromkeys(name for row in self.rows for name in row) if name != "step"]

    def __getitem__(self, name: str) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        rows = [row for row in self.rows if name in row]
        if not rows:
            raise KeyError(f"no metric {name!r}; logged: {', '.join(self.names) or 'nothing'}")
        return np.array([row["step"] for row in rows]), np.array([row[name] for row in rows], np.float64)


class MetricsLog:
    """Appends rows to `path` (None: memory only), having dropped those after `step`, the one a run starts at.

    Of several processes one `writes`; the others read what there is and keep their rows in memory.

    Raises OSError, here and in every method, when they cannot be written; the rows before are safe then.
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
                # replaced in one move, so that a kill here loses nothing
                kept = path.with_name(path.name + ".new")
                with kept.open("w") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
                    file.flush()
                    os.fsync(file.fileno())
                kept.replace(path)
                self._file = path.open("a")
        self.history = History(rows)

    def push(self, step: int, metrics: Mapping[str, Any]) -> Row | None:
        """Start fetching these scalars, and write and return the row pushed before them, which has long arrived."""
        if "step" in metrics:
            raise ValueError("no metric may be called step: it is the key of the row")
        for name, value in metrics.items():
            if np.shape(value) != ():
                raise ValueError(f"metrics must be scalars: {name!r} has shape {np.shape(value)}; take its mean")
        row = self._fetch()
        # copied, for a metric may be a part of the state, which the next step donates
        copies = {name: jnp.copy(v) if isinstance(v, jax.Array) else v for name, v in metrics.items()}
        for copy in copies.values():
            if isinstance(copy, jax.Array):
                copy.copy_to_host_async()
        self._pending = step, copies
        return row

    def flush(self) -> Row | None:
        """Wait for the pending row, and bring the file to the disk."""
        row = self._fetch()
        if self._file is not None:
            with self._writing():
                os.fsync(self._file.fileno())
        return row

    def close(self) -> None:
        """Close the file; a row still pending is dropped."""
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
                with suppress(OSError):  # it would try, and fail, to write the rest
                    self._file.close()
                self._file = None
            raise OSError(f"{self._path} could not be written ({disk_of(self._path)}): {error}") from error


def fetch_row(step: int, metrics: Mapping[str, Any]) -> Row:
    """The metrics as Python floats, waiting for the device where they are not there yet."""
    return {"step": step, **{name: float(value) for name, value in jax.device_get(dict(metrics)).items()}}


def _is_row(line: str) -> bool:
    try:
        return "step" in json.loads(line)
    except (ValueError, TypeError):
        return False

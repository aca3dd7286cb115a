"""Training states on disk: written in the background, committed by a rename, verified when they are read."""

import atexit
import functools
import gc
import itertools
import json
import logging
import os
import re
import sys
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import CoroutineType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from jaxgen.core import all_processes, check_at_least
from jaxgen.training.checksum import checksums
from jaxgen.training.disk import describe_disk
from jaxgen.training.lock import DirectoryInUse, acquire_lock

_logger = logging.getLogger(__name__)

_RETRY_DELAY = 1.0  # seconds

# Orbax numbers the saves of a process, and a save reads its number more than once before it goes on in the background:
# of two saves that begin at once in two threads, one could write into a directory before it is made.
_one_save_begins = threading.Lock()

_Types = dict[str, str]
_Target = Callable[[ocp.CheckpointManager, int, _Types], PyTree]


class CheckpointMismatch(ValueError):
    """The checkpoint holds other arrays than those asked for."""


class Checkpoints:
    """The newest checkpoints of a run; a context manager.

    A checkpoint that was incomplete when the process died is never seen. One that was damaged later, if only by one
    bit, is skipped with a warning in favour of the one before it; the next save renames it to N.damaged. One run at a
    time can save to a directory. An exception that leaves the context gets a note that names the last good checkpoint.

    With several processes, the directory lies on a shared disk, and all call the same methods in the same order.

    Args:
        directory: created at the first save.
        keep: the number of checkpoints to keep, at least 1.

    Raises:
        ValueError: if keep < 1.

    Example:
        ```python
        with Checkpoints("runs/first/checkpoints") as checkpoints:
            if checkpoints.latest_step is not None:
                state = checkpoints.restore(state)
            state, history = fit(step, state, batches, steps=1000, checkpoints=checkpoints)

        averaged = Checkpoints("runs/first/checkpoints").restore_params("ema")
        ```
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int = 3):
        check_at_least(1, keep=keep)
        self.directory = Path(directory).absolute()
        self._keep = keep
        self._writer: ocp.CheckpointManager | None = None
        self._damaged: set[int] = set()
        self._claimed = False
        self._lock: FileIO | None = None
        self._saving: int | None = None

    @property
    def steps(self) -> Sequence[int]:
        """The steps that can be restored, ascending."""
        if not self.directory.is_dir():
            return []
        # a directory 050 is no checkpoint of step 50
        found = {step for step in ocp.utils.checkpoint_steps(self.directory) if (self.directory / str(step)).is_dir()}
        return sorted(found - self._damaged)

    @property
    def latest_step(self) -> int | None:
        """The last step that can be restored, None if there is none."""
        return max(self.steps, default=None)

    def claim(self) -> None:
        """Reserve the directory for this run until `close` or the end of the process.

        `save` does so by itself; call it before the training to learn of a refusal early.

        Raises:
            DirectoryInUse: if another run has reserved the directory.
            ValueError: if it holds a directory whose name is a number, but not that of a checkpoint.
            OSError: if it cannot be created.
        """
        if self._claimed:
            return
        refusal = None
        if jax.process_index() == 0:
            try:
                self.directory.mkdir(parents=True, exist_ok=True)
                names = (path.name for path in self.directory.iterdir() if path.is_dir())
                if stray := [name for name in names if name.isdigit() and name != str(int(name))]:
                    raise ValueError(
                        f"{self.directory} holds {', '.join(stray)}, which is no checkpoint but looks like one: "
                        "move it away, or train in another directory"
                    )
                self._lock = acquire_lock(self.directory / ".lock")
            except (DirectoryInUse, OSError, ValueError) as error:
                refusal = error
        if not all_processes(refusal is None):
            raise refusal or DirectoryInUse(f"{self.directory} is in use by another run, or cannot be made")
        self._claimed = True

    def save(self, state: PyTree) -> None:
        """Copy the state to the host and write it in the background.

        Args:
            state: any pytree with an attribute `step`, which names the checkpoint. A step that is already saved is
                left as it is.

        Raises:
            OSError: if it, or the checkpoint before it, could not be written. A later error is raised by the next call
                of `save`, `wait` or `close`.
            DirectoryInUse: as `claim` does.
            ValueError: as `claim` does.
        """
        self.wait()
        self.claim()
        self._saving, state = int(state.step), _arrays(state)

        def write() -> None:
            writer, step = self._open_writer(), self._saving
            if step not in writer.all_steps():
                manifest = _manifest(state)
                with _one_save_begins:
                    writer.save(step, args=ocp.args.StandardSave(state), custom_metadata=manifest, force=True)

        self._write(write)

    def restore(self, like: PyTree, step: int | None = None) -> PyTree:
        """Return a saved state with the structure, types and shardings of `like`.

        Args:
            like: a state, or its shapes.
            step: the step of the checkpoint (default: the last that can be read).

        Returns:
            The saved state.

        Raises:
            FileNotFoundError: if there is no such checkpoint.
            CheckpointMismatch: if it holds other arrays than `like`.
            ValueError: if it cannot be read.
        """
        like = _arrays(like)
        expected, target = _types(like), jax.tree.map(_abstract, like)

        def check(reader: ocp.CheckpointManager, step: int, types: _Types) -> PyTree:
            if types != expected:
                raise CheckpointMismatch(_difference(self.directory / str(step), types, expected))
            return target

        return self._restore(check, step)

    def restore_params(self, name: str = "ema", step: int | None = None) -> PyTree:
        """Return parameters from a checkpoint of any state, without its optimiser.

        Args:
            name: "ema" or "params" of a `TrainState`; "generator/ema", "generator/params" or "critic/params" of an
                `AdversarialState`; in general the path of a part of the state.
            step: the step of the checkpoint (default: the last that can be read).

        Returns:
            The arrays on the default device, in dicts as Flax has them. Tuples and dataclasses come back as lists and
            dicts.

        Raises:
            FileNotFoundError: if there is no such checkpoint.
            CheckpointMismatch: if it has no part of this name.
            ValueError: if it cannot be read.
        """
        keys = name.split("/")

        def select(reader: ocp.CheckpointManager, step: int, types: _Types) -> PyTree:
            if not any(path == name or path.startswith(f"{name}/") for path in types):
                known = sorted({m[0] for path in types if (m := re.match(r"(\w+/)?(params|ema)(?=/|$)", path))})
                raise CheckpointMismatch(f"checkpoint {self.directory / str(step)} holds no {name!r}, only {known}")
            part, outer = reader.item_metadata(step).tree, []
            for key in keys:
                if isinstance(part, list | tuple):  # orbax restores these whole
                    break
                part = part[key]
                outer.append(key)
            part = jax.tree.map(lambda x: _abstract(jax.ShapeDtypeStruct(x.shape, x.dtype)), part)
            for key in reversed(outer):
                part = {key: part}
            return part

        part = self._restore(select, step)
        for key in keys:
            part = part[int(key)] if isinstance(part, list | tuple) else part[key]
        return part

    def wait(self) -> None:
        """Block until what was saved is on disk.

        Raises:
            OSError: if it could not be written.
        """
        if self._writer is not None:
            self._write(self._writer.wait_until_finished)

    def close(self) -> None:
        """Wait for the last write, stop the threads behind it, and release the directory for other runs.

        Raises:
            OSError: if the last write failed.
        """
        try:
            if self._writer is not None:
                self._write(self._writer.close)
        finally:
            self._writer = None
            self._claimed = False
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except OSError as another:
            error.add_note(str(another))
        else:
            if str(self.directory) not in str(error):
                error.add_note(self._describe_last())

    def _write(self, action: Callable[[], None]) -> None:
        try:
            action()
            return
        except Exception as error:  # orbax and tensorstore have several types for a full disk
            reason = f"{error!s:.300}"
            # the writer is closed, because it would raise the error again
            writer, self._writer = self._writer, None
            with suppress(Exception):
                writer.close()
        atexit.register(_close_coroutines)
        # raised outside the handler: the error's chain of tracebacks is hundreds of lines long
        raise OSError(
            f"checkpoint {self.directory / str(self._saving)} could not be written ({describe_disk(self.directory)}): "
            f"{reason}\n{self._describe_last()}"
        )

    def _describe_last(self) -> str:
        step = self.latest_step
        if step is None:
            return f"No checkpoint was completed in {self.directory}"
        return f"The last good checkpoint is of step {step}, in {self.directory}: --resume continues from it"

    def _open_writer(self) -> ocp.CheckpointManager:
        if self._writer is None:
            _hide_tracebacks()
            # renamed, because the run will reach these steps again
            for step in self._damaged if jax.process_index() == 0 else ():
                names = (f"{step}.damaged{i}" for i in itertools.chain([""], itertools.count(2)))
                aside = next(self.directory / name for name in names if not (self.directory / name).exists())
                (self.directory / str(step)).rename(aside)
            self._damaged.clear()
            # Only a writer may remove what a killed run left: to a reader it could be a save in progress.
            options = ocp.CheckpointManagerOptions(max_to_keep=self._keep, cleanup_tmp_directories=True)
            # waits for all processes before it lists the directory, hence for the renames
            self._writer = ocp.CheckpointManager(self.directory, options=options)
        return self._writer

    def _restore(self, make_target: _Target, step: int | None) -> PyTree:
        self.wait()
        steps = self.steps
        if not steps:
            missing = "holds none" if self.directory.is_dir() else "does not exist"
            raise FileNotFoundError(
                f"no checkpoint to resume from: {self.directory} {missing}. Check the path, or start without --resume"
            )
        if step is not None and step not in steps:
            raise FileNotFoundError(f"no checkpoint of step {step} in {self.directory}; there are steps {steps}")
        damaged: dict[int, Exception] = {}
        with _open_reader(self.directory) as reader:
            for candidate in [step] if step is not None else reversed(steps):
                state, failure = _read(reader, candidate, make_target)
                if failure is None:
                    self._damaged |= damaged.keys()
                    return state
                _logger.warning("checkpoint %s cannot be read (%.200s)", self.directory / str(candidate), failure)
                damaged[candidate] = failure
        message = f"no readable checkpoint in {self.directory}: tried steps {sorted(damaged)}"
        raise ValueError(message) from damaged[max(damaged)]


def _read(reader: ocp.CheckpointManager, step: int, make_target: _Target) -> tuple[PyTree, Exception | None]:
    """Return the state, or the reason why it cannot be read, for all processes alike."""

    def load() -> tuple[PyTree, _Types, dict[str, str]]:
        types, sums = _open_manifest(reader.metadata(step).custom_metadata)
        target = make_target(reader, step, types)
        # partial: a field that holds no arrays may be newer than the checkpoint
        how = ocp.checkpoint_utils.construct_restore_args(target)
        return reader.restore(step, args=ocp.args.PyTreeRestore(target, how, partial_restore=True)), types, sums

    state, failure = None, None
    try:
        state, types, sums = _retry_once(load)
    except CheckpointMismatch:
        raise
    except Exception as error:  # orbax has no type of its own for damaged files
        failure = error
    if not all_processes(failure is None):
        return None, failure or ValueError("another process could not read it")
    found, found_sums = _types(state), _checksums(state)
    changed = [p for p in found if p in sums and (found[p], found_sums.get(p)) != (types[p], sums[p])]
    if not all_processes(not changed):
        return None, ValueError(f"changed since it was written: {', '.join(changed) or 'in another process'}")
    if hasattr(state, "step") and int(state.step) != step:
        return None, ValueError(f"it is of step {int(state.step)}: its directory was renamed or copied")
    return state, None


def _retry_once(read: Callable[[], Any]) -> Any:
    """Retry once after a transient error, such as too many open files."""
    try:
        return read()
    except FileNotFoundError:
        raise
    except (OSError, MemoryError):
        time.sleep(_RETRY_DELAY)
        return read()


def _open_reader(directory: Path) -> ocp.CheckpointManager:
    # each process reads by itself: if one fails to, the others must not wait for it
    process = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"reader{process}"
    )
    options = ocp.CheckpointManagerOptions(create=False, multiprocessing_options=alone)
    # named here, or orbax warns that it does not know what it reads
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.CheckpointManager(directory, options=options, item_handlers=handler)


def _close_coroutines() -> None:
    """Close what a failed save left unfinished, which would print tracebacks while the interpreter shuts down."""
    for x in gc.get_objects():
        if isinstance(x, CoroutineType) and "orbax" in x.cr_code.co_filename:
            with suppress(Exception):
                x.close()


@functools.cache
def _hide_tracebacks() -> None:
    """Hide the tracebacks that orbax and tensorstore print on their threads; `_write` raises the errors behind them."""
    logging.getLogger("absl").addFilter(lambda record: not (record.exc_info and "orbax" in record.pathname))
    hook = sys.unraisablehook

    def without_closed_loops(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    sys.unraisablehook = without_closed_loops


def _arrays(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: x if hasattr(x, "dtype") else jnp.asarray(x), tree)


def _leaves(state: PyTree) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}


def _types(state: PyTree) -> dict[str, str]:
    return {path: f"{x.dtype}[{','.join(map(str, x.shape))}]" for path, x in _leaves(state).items()}


def _checksums(state: PyTree) -> dict[str, str]:
    leaves = _leaves(state)
    return {path: digits for path, digits in zip(leaves, checksums(leaves.values()), strict=True) if digits}


def _manifest(state: PyTree) -> dict[str, Any]:
    """Return the type, shape and checksum of each array, and a checksum of the manifest itself."""
    arrays, sums = _types(state), _checksums(state)
    return {"arrays": arrays, "checksums": sums, "crc32": _crc32(arrays, sums)}


def _open_manifest(found: dict[str, Any] | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return types and checksums; raises ValueError for a damaged manifest."""
    if not found:
        raise ValueError("its manifest is gone")
    if not isinstance(found.get("arrays"), dict):
        return found, {}  # written before there were checksums
    if found.get("crc32") != _crc32(found["arrays"], found.get("checksums")):
        raise ValueError("its manifest changed since it was written")
    return found["arrays"], found["checksums"]


def _crc32(*parts: Any) -> int:
    return zlib.crc32(json.dumps(parts, sort_keys=True).encode())


def _difference(path: Path, found: dict[str, str], expected: dict[str, str], shown: int = 6) -> str:
    differing = [p for p in expected | found if expected.get(p) != found.get(p)]
    lines = [f"  {p}: expected {expected.get(p, 'nothing')}, found {found.get(p, 'nothing')}" for p in differing]
    if len(lines) > shown:
        lines[shown:] = [f"  … and {len(lines) - shown} more"]
    return "\n".join(
        [
            f"checkpoint {path} is of another architecture or optimiser:",
            *lines,
            "Resume with the configuration it was trained with, or train from scratch in another directory. "
            'For the parameters alone: restore_params("ema") or restore_params("params").',
        ]
    )


def _abstract(x: jax.Array | np.ndarray | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    sharding = getattr(x, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

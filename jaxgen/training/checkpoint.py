"""Training states on disk: written in the background, committed by a rename, checked before they are read."""

import itertools
import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from jaxgen.core import all_processes
from jaxgen.training.checksum import checksums
from jaxgen.training.disk import disk_of
from jaxgen.training.lock import DirectoryInUse, hold

_logger = logging.getLogger(__name__)

_PAUSE = 1.0  # seconds before what could not be read is tried once more


class CheckpointMismatch(ValueError):
    """The checkpoint was written by another architecture or optimiser than the one asked for."""


class Checkpoints:
    """The newest `keep` checkpoints of a run, under `directory` (made at the first save); a context manager.

    A checkpoint half written when the process died is never seen. One that was damaged later, be it by one bit, is
    passed over, with a warning, in favour of the one before it, and kept as N.damaged by the next save. One run at a
    time can save to a directory. An error that leaves the context says, in a note, which checkpoint is the last good
    one.

    With several processes, `directory` lies on a disk they share, and each calls the same methods in the same order.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int = 3):
        if keep < 1:
            raise ValueError(f"keep must be at least 1 checkpoint, got {keep}")
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
        return sorted(set(ocp.utils.checkpoint_steps(self.directory)) - self._damaged)

    @property
    def latest_step(self) -> int | None:
        """The last step that can be restored, None if there is none."""
        return max(self.steps, default=None)

    def claim(self) -> None:
        """Take the directory for this run, until `close` or the end of the process; `save` does so by itself.

        Raises DirectoryInUse (a RuntimeError) if another run has it: called before the training, not after some of it.
        """
        if self._claimed:
            return
        refusal = None
        if jax.process_index() == 0:
            try:
                self.directory.mkdir(parents=True, exist_ok=True)
                self._lock = hold(self.directory / ".lock")
            except (DirectoryInUse, OSError) as error:
                refusal = error
        if not all_processes(refusal is None):
            raise refusal or DirectoryInUse(f"{self.directory} is in use by another run, or cannot be made")
        self._claimed = True

    def save(self, state: PyTree) -> None:
        """Copy the state, whose `.step` names the checkpoint, to the host, and write it in the background.

        A step already saved is left as it is. An error of the write before this one is raised here, or in `wait`:
        OSError if it could not be written.
        """
        self.wait()
        self._saving, state = int(state.step), _arrays(state)
        with self._writing():
            writer, step = self._open_writer(), self._saving
            if step not in writer.all_steps():
                writer.save(step, args=ocp.args.StandardSave(state), custom_metadata=_manifest(state), force=True)

    def restore(self, like: PyTree, step: int | None = None) -> PyTree:
        """The state at `step` (default: the last), with the structure, types and shardings of `like`.

        Raises FileNotFoundError if there is no such checkpoint, CheckpointMismatch (a ValueError) if it holds other
        arrays than `like`, and ValueError if it cannot be read.
        """
        self.wait()
        steps = self.steps
        if not steps:
            missing = "holds none" if self.directory.is_dir() else "does not exist"
            raise FileNotFoundError(
                f"no checkpoint to resume from: {self.directory} {missing}. Check the path, or start without --resume"
            )
        if step is not None and step not in steps:
            raise FileNotFoundError(f"no checkpoint of step {step} in {self.directory}; there are steps {steps}")
        like = _arrays(like)
        expected, target = _types(like), jax.tree.map(_abstract, like)
        damaged: dict[int, Exception] = {}
        with _reader(self.directory) as reader:
            for candidate in [step] if step is not None else reversed(steps):
                state, failure = self._read(reader, candidate, expected, target)
                if failure is None:
                    self._damaged |= damaged.keys()
                    return state
                _logger.warning("checkpoint %s cannot be read (%.200s)", self.directory / str(candidate), failure)
                damaged[candidate] = failure
        message = f"no readable checkpoint in {self.directory}: tried steps {sorted(damaged)}"
        raise ValueError(message) from damaged[max(damaged)]

    def wait(self) -> None:
        """Block until what was saved is on disk; raises OSError if it could not be written."""
        if self._writer is not None:
            with self._writing():
                self._writer.wait_until_finished()

    def close(self) -> None:
        """Wait for the last write, release the threads behind it, and the directory for other runs."""
        try:
            if self._writer is not None:
                with self._writing():
                    self._writer.close()
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
                error.add_note(self._last_good())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except DirectoryInUse:
            raise
        except Exception as error:  # orbax and tensorstore have several types for a full disk
            # not to be used again: what it failed at stays with it
            writer, self._writer = self._writer, None
            with suppress(Exception):
                writer.close()
            raise OSError(
                f"checkpoint {self.directory / str(self._saving)} could not be written ({disk_of(self.directory)}): "
                f"{error!s:.300}\n{self._last_good()}"
            ) from error

    def _last_good(self) -> str:
        step = self.latest_step
        if step is None:
            return f"No checkpoint was completed in {self.directory}"
        return f"The last good checkpoint is of step {step}, in {self.directory}: --resume continues from it"

    def _open_writer(self) -> ocp.CheckpointManager:
        if self._writer is None:
            self.claim()
            # Out of the way of the steps to come, which will reach these numbers again.
            for step in self._damaged if jax.process_index() == 0 else ():
                names = (f"{step}.damaged{i}" for i in itertools.chain([""], itertools.count(2)))
                aside = next(self.directory / name for name in names if not (self.directory / name).exists())
                (self.directory / str(step)).rename(aside)
            self._damaged.clear()
            # Only a writer may clear what a killed run left half written: to a reader it could be a save in progress.
            options = ocp.CheckpointManagerOptions(max_to_keep=self._keep, cleanup_tmp_directories=True)
            # waits for all processes before it lists the directory, hence for the renames
            self._writer = ocp.CheckpointManager(self.directory, options=options)
        return self._writer

    def _read(
        self, reader: ocp.CheckpointManager, step: int, expected: dict[str, str], target: PyTree
    ) -> tuple[PyTree, Exception | None]:
        """The state, or why it cannot be read: the same one of the two on all processes."""

        def load() -> tuple[PyTree, dict[str, str], dict[str, str]]:
            types, sums = _open_manifest(reader.metadata(step).custom_metadata)
            if types != expected:
                raise CheckpointMismatch(_difference(self.directory / str(step), types, expected))
            # the manifest agrees leaf by leaf: partial, so that a field that holds nothing may be newer than it
            how = ocp.checkpoint_utils.construct_restore_args(target)
            return reader.restore(step, args=ocp.args.PyTreeRestore(target, how, partial_restore=True)), types, sums

        state, failure = None, None
        try:
            state, types, sums = _twice(load)
        except CheckpointMismatch:
            raise
        except Exception as error:  # orbax has no type of its own for damaged files
            failure = error
        if not all_processes(failure is None):
            return None, failure or ValueError("another process could not read it")
        found, found_sums = _types(state), _checksums(state)
        changed = [p for p in sums if (found.get(p), found_sums.get(p)) != (types[p], sums[p])]
        if not all_processes(not changed):
            return None, ValueError(f"changed since it was written: {', '.join(changed) or 'in another process'}")
        if int(state.step) != step:
            return None, ValueError(f"it is of step {int(state.step)}: its directory was renamed or copied")
        return state, None


def _twice(read: Callable[[], Any]) -> Any:
    """What may have failed in passing is tried once more: for too many open files, say, or a disk that is far away."""
    try:
        return read()
    except FileNotFoundError:
        raise
    except (OSError, MemoryError):
        time.sleep(_PAUSE)
        return read()


def _reader(directory: Path) -> ocp.CheckpointManager:
    """Each process reads by itself: where one fails to, the others must not wait for it."""
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"reader{me}"
    )
    options = ocp.CheckpointManagerOptions(create=False, multiprocessing_options=alone)
    # named here, or orbax warns that it does not know what it reads
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.CheckpointManager(directory, options=options, item_handlers=handler)


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
    """What a checkpoint says of itself: type, shape and checksum of each array, and the checksum of all that."""
    arrays, sums = _types(state), _checksums(state)
    return {"arrays": arrays, "checksums": sums, "crc32": _crc32(arrays, sums)}


def _open_manifest(found: dict[str, Any] | None) -> tuple[dict[str, str], dict[str, str]]:
    """Types and checksums; raises ValueError for a damaged manifest."""
    if not found:
        raise ValueError("its manifest is gone")
    if not isinstance(found.get("arrays"), dict):
        return found, {}  # as it was before there were checksums: types alone
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
            "Resume with the configuration it was trained with, or train from scratch in another directory.",
        ]
    )


def _abstract(x: jax.Array | np.ndarray | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    sharding = getattr(x, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

"""Training states on disk: written in the background, committed by a rename, checked before they are read."""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

_logger = logging.getLogger(__name__)


class CheckpointMismatch(ValueError):
    """The checkpoint was written by another architecture or optimiser than the one asked for."""


class Checkpoints:
    """The newest `keep` checkpoints of a run, under `directory` (made at the first save); a context manager.

    A checkpoint half written when the process died is never seen. One that was damaged later is passed over, with a
    warning, in favour of the one before it.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int = 3):
        if keep < 1:
            raise ValueError(f"keep must be at least 1 checkpoint, got {keep}")
        self.directory = Path(directory).absolute()
        self._keep = keep
        self._writer: ocp.CheckpointManager | None = None
        self._damaged: set[int] = set()

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

    def save(self, state: PyTree) -> None:
        """Copy the state, whose `.step` names the checkpoint, to the host, and write it in the background.

        A step already saved is left as it is. An error of the write before this one is raised here, or in `wait`.
        """
        writer, step, state = self._open_writer(), int(state.step), _arrays(state)
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
            missing = "is empty" if self.directory.is_dir() else "does not exist"
            raise FileNotFoundError(
                f"no checkpoint to resume from: {self.directory} {missing}. Check the path, or start without --resume"
            )
        if step is not None and step not in steps:
            raise FileNotFoundError(f"no checkpoint of step {step} in {self.directory}; there are steps {steps}")
        like = _arrays(like)
        expected, target = _manifest(like), jax.tree.map(_abstract, like)
        damaged = set()
        with ocp.CheckpointManager(self.directory, options=ocp.CheckpointManagerOptions(create=False)) as reader:
            for candidate in [step] if step is not None else reversed(steps):
                try:
                    state = self._read(reader, candidate, expected, target)
                except CheckpointMismatch:
                    raise
                except Exception as error:  # orbax has no type of its own for damaged files
                    _logger.warning("checkpoint %s cannot be read (%.200s)", self.directory / str(candidate), error)
                    damaged.add(candidate)
                    failure = error
                else:
                    self._damaged |= damaged
                    return state
        raise ValueError(f"no readable checkpoint in {self.directory}: tried steps {sorted(damaged)}") from failure

    def wait(self) -> None:
        """Block until what was saved is on disk."""
        if self._writer is not None:
            self._writer.wait_until_finished()

    def close(self) -> None:
        """Wait for the last write and release the threads behind it."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_writer(self) -> ocp.CheckpointManager:
        if self._writer is None:
            # Out of the way of the steps to come, which will reach these numbers again.
            for step in self._damaged:
                aside = self.directory / f"{step}.damaged"
                shutil.rmtree(aside, ignore_errors=True)
                (self.directory / str(step)).rename(aside)
            self._damaged.clear()
            # Only a writer may clear what a killed run left half written: to a reader it could be a save in progress.
            options = ocp.CheckpointManagerOptions(max_to_keep=self._keep, cleanup_tmp_directories=True)
            self._writer = ocp.CheckpointManager(self.directory, options=options)
        return self._writer

    def _read(self, reader: ocp.CheckpointManager, step: int, expected: dict[str, str], target: PyTree) -> PyTree:
        found = reader.metadata(step).custom_metadata or {}
        if found != expected:
            raise CheckpointMismatch(_difference(self.directory / str(step), found, expected))
        # the manifest agrees leaf by leaf: partial, so that a field that holds nothing may be newer than the checkpoint
        how = ocp.checkpoint_utils.construct_restore_args(target)
        return reader.restore(step, args=ocp.args.PyTreeRestore(target, how, partial_restore=True))


def _arrays(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: x if hasattr(x, "dtype") else jnp.asarray(x), tree)


def _manifest(state: PyTree) -> dict[str, str]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{x.dtype}[{','.join(map(str, x.shape))}]"
        for path, x in leaves
    }


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

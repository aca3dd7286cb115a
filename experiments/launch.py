"""Command lines of the experiments: `--preset` chooses the defaults, every other flag overrides one of them."""

import argparse
import faulthandler
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import tyro
from jax.experimental import multihost_utils

from experiments.config import TrainingConfig
from jaxgen.report import run_directory, write_json
from jaxgen.training import CheckpointMismatch, DirectoryInUse, Diverged, Interrupted

Config = TypeVar("Config")


def parse(presets: Mapping[str, Config], arguments: Sequence[str] | None = None) -> Config:
    """The configuration a command line asks for.

    A config is a frozen dataclass with the fields `preset`, `runs` and `resume`. `--resume DIR` starts from the flags
    that run was given. Exits with a message for an unknown flag or value, or a DIR that holds no run.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    default = next(iter(presets.values()))
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset", choices=list(presets), default=default.preset)
    early.add_argument("--resume", type=Path)
    chosen, _ = early.parse_known_args(arguments)
    default = presets[chosen.preset] if chosen.resume is None else _restore(type(default), chosen.resume)
    return tyro.cli(type(default), default=default, args=arguments)


def run(main: Callable[[Config], Any], presets: Mapping[str, Config]) -> None:
    """Run an experiment from the command line; what the user can mend ends in one line and a non-zero exit."""
    config = parse(presets)
    if not faulthandler.is_enabled():  # a signal of the system, as for a broken disk, ends a process without a word
        faulthandler.enable()
    try:
        if isinstance(config, TrainingConfig) and config.distributed:
            _join()
        _check_platform()
        main(config)
    except (Interrupted, Diverged) as stop:
        # every one of several processes is here
        sys.exit(_said(stop))
    except (CheckpointMismatch, DirectoryInUse, OSError, BadInput) as stop:
        _leave_alone(_said(stop))
        sys.exit(_said(stop))
    except Exception:
        _leave_alone(traceback.format_exc())
        raise


def _check_platform() -> None:
    """Raise BadInput where JAX finds no device of the platform that it was told to use."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        platforms = jax.config.jax_platforms
        reason = f" ({str(error).splitlines()[0]})" if str(error) else ""
        raise BadInput(
            f"JAX found no device of the platform {platforms!r} that JAX_PLATFORMS names{reason}: "
            "install a jaxlib and drivers for it, or run with JAX_PLATFORMS=cpu"
        ) from error


def _said(stop: BaseException) -> str:
    return "\n".join([f"{type(stop).__name__}: {stop}", *getattr(stop, "__notes__", ())])


def _leave_alone(message: str) -> None:
    """End one of several processes at once: the others wait for it, and it would wait for them, for minutes."""
    if jax.distributed.is_initialized() and jax.process_count() > 1:
        print(message, file=sys.stderr, flush=True)
        os._exit(1)


class BadInput(ValueError):
    """Data that an experiment cannot use."""


@contextmanager
def reading_data() -> Iterator[None]:
    """Marks refusals of the user's data, so that `run` shows their message without a traceback."""
    try:
        yield
    except (ValueError, TypeError, ImportError) as error:
        raise BadInput(str(error)) from error


def command(module: str, arguments: Sequence[str] | None = None) -> str:
    """The line that reproduces a run."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if arguments is None else arguments)])


def begin(name: str, config: Any) -> Path:
    """The run's directory, holding its configuration: a new one, or the one being resumed.

    Raises FileNotFoundError where there is no checkpoint to resume from, and BadInput for batches that cannot be split
    over the devices. Among several processes all return the first one's.
    """
    if isinstance(config, TrainingConfig) and (config.data_parallel or config.fully_sharded):
        devices = jax.device_count()
        for flag, size in asdict(config).items():
            if flag.endswith("batch_size") and size % devices:
                given = f"--{flag.replace('_', '-')} {size}"
                raise BadInput(f"{given} cannot be split over {devices} devices: give a multiple of them")
    if config.resume is not None:
        if not any(config.resume.glob("**/checkpoints/[0-9]*")):
            raise FileNotFoundError(f"no checkpoint to resume from under {config.resume}: start without --resume")
        return config.resume
    directory = run_directory(config.runs, name) if jax.process_index() == 0 else Path()
    if jax.process_count() > 1:
        path = np.frombuffer(str(directory.absolute()).encode().ljust(4096), np.uint8)
        directory = Path(multihost_utils.broadcast_one_to_all(path).tobytes().decode().rstrip())
    if jax.process_index() == 0:
        write_json(directory / "config.json", asdict(config))
    return directory


def _join() -> None:
    """Meet the other processes of this run; the first alone prints."""
    told = {name: os.environ.get(f"JAX_{name.upper()}") for name in ("num_processes", "process_id")}
    try:
        jax.distributed.initialize(**{name: int(value) for name, value in told.items() if value is not None})
    except (ValueError, RuntimeError) as error:
        raise BadInput(
            f"--distributed found no other processes ({error}): start the run by a cluster's launcher, or by "
            "python -m experiments.processes"
        ) from error
    if jax.process_index():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, it is open for as long as the process lives


def _restore(config_type: type[Config], directory: Path) -> Config:
    file = directory / "config.json"
    if not file.is_file():
        sys.exit(f"--resume {directory}: there is no {file}. Give the directory of a run, such as runs/sprites/<time>.")
    saved = json.loads(file.read_text())
    if unknown := set(saved) - {field.name for field in fields(config_type)}:
        sys.exit(f"--resume {directory}: {file} is of another experiment; it differs in {sorted(unknown)}.")
    # who trains together is asked anew each time
    saved.pop("distributed", None)
    paths = {field.name for field in fields(config_type) if "Path" in str(field.type)}

    def value(name: str, saved: Any) -> Any:
        if isinstance(saved, list):
            return tuple(saved)
        return Path(saved) if name in paths and saved is not None else saved

    return config_type(**{name: value(name, item) for name, item in saved.items()})

"""Command lines: `--preset` chooses the defaults, every other flag overrides one; what ends a run says so in a line."""

import argparse
import faulthandler
import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import jax
import tyro

from experiments.kit.compilation import compile_lightly
from experiments.kit.config import RunConfig, TrainingConfig
from experiments.kit.devices import use_cores
from experiments.kit.run import BadInput
from jaxgen.training import CheckpointMismatch, DirectoryInUse, Diverged, Interrupted

Config = TypeVar("Config", bound=RunConfig)


def parse(presets: Mapping[str, Config], arguments: Sequence[str] | None = None) -> Config:
    """The configuration that a command line asks for.

    `--resume DIR` and `--from DIR` start from the flags that the run was given. Exits with a message for an unknown
    flag or value.

    Raises:
        BadInput: if DIR holds no run, both are given, or a resumed run cannot change a flag.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    default = next(iter(presets.values()))
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset", choices=list(presets), default=default.preset)
    early.add_argument("--resume", type=Path)
    early.add_argument("--from", type=Path, dest="draw_from")
    chosen, _ = early.parse_known_args(arguments)
    if chosen.resume is not None and chosen.draw_from is not None:
        raise BadInput("--resume continues a run, --from draws from one: give one of them")
    if chosen.resume is None:
        start = presets[chosen.preset] if chosen.draw_from is None else restore(type(default), chosen.draw_from)
        return tyro.cli(type(default), default=start, args=arguments)
    before = restore(type(default), chosen.resume)
    config = tyro.cli(type(default), default=before, args=arguments)
    for field in fields(config):
        old, new = getattr(before, field.name), getattr(config, field.name)
        if old != new and field.name not in (*config.resumable, "resume"):
            flag = f"--{field.name.replace('_', '-')}"
            raise BadInput(f"--resume continues with {flag} {old}, as the run began: begin a new run for {flag} {new}")
    return config


def run(main: Callable[[Config], Any], presets: Mapping[str, Config]) -> None:
    """Run an experiment from the command line; what the user can mend ends in one line and a non-zero exit."""
    warnings.showwarning = _show_warning
    try:
        config = parse(presets)
    except BadInput as error:
        sys.exit(_message(error))
    if not faulthandler.is_enabled():  # a signal of the system, as for a broken disk, would end a process silently
        faulthandler.enable()
    try:
        if isinstance(config, TrainingConfig) and config.distributed:
            _join()
        if config.preset == "smoke":
            compile_lightly()
        use_cores(config)
        _check_platform()
        main(config)
    except (KeyboardInterrupt, Diverged) as stop:
        # an Interrupted or Diverged run stops in all of its processes
        if not isinstance(stop, Interrupted | Diverged):
            _end_process(_message(stop))
        sys.exit(_message(stop))
    except (CheckpointMismatch, DirectoryInUse, OSError, BadInput) as stop:
        _end_process(_message(stop))
        sys.exit(_message(stop))
    except Exception:
        _end_process(traceback.format_exc())
        raise


@contextmanager
def reading_data() -> Iterator[None]:
    """Marks refusals of the user's data, so that `run` shows their message without a traceback."""
    try:
        yield
    except (ValueError, TypeError, ImportError) as error:
        raise BadInput(_in_flags(str(error))) from error


def restore(config_type: type[Config], directory: Path) -> Config:
    """The settings of the run in a folder; raises BadInput where there is none."""
    file = directory / "config.json"
    if not file.is_file():
        raise BadInput(f"{directory} holds no run: there is no {file}. Give a run's folder, such as runs/NAME/<time>")
    saved = json.loads(file.read_text())
    if unknown := set(saved) - {field.name for field in fields(config_type)}:
        raise BadInput(f"{directory} holds a run of another experiment: {file} differs in {sorted(unknown)}")
    # which processes train together is asked anew each time
    saved.pop("distributed", None)
    paths = {field.name for field in fields(config_type) if "Path" in str(field.type)}

    def value(name: str, saved: Any) -> Any:
        if isinstance(saved, list):
            return tuple(saved)
        return Path(saved) if name in paths and saved is not None else saved

    try:
        return config_type(**{name: value(name, item) for name, item in saved.items()})
    except ValueError as error:
        raise BadInput(f"{file} holds a value that is refused: {error}") from error


def _in_flags(message: str) -> str:
    """A message of the library in the words of the command line."""
    message = re.sub(r"(holds (\d+)×\2 images;.*)pass resize=(\d+)", r"\1add --size \2, or --resize --size \3", message)
    message = re.sub(r"pass resize=(\d+)", r"add --resize --size \1", message)
    message = re.sub(r"pass size=(\d+)", r"add --size \1", message)
    return message.replace("pass value_range=(low, high)", "add --value-range LOW HIGH")


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """A warning as one line, without the line of source that gave it."""
    print(f"{category.__name__}: {message}", file=sys.stderr)


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


def _message(stop: BaseException) -> str:
    text = f"{type(stop).__name__}: {stop}"
    if type(stop) is KeyboardInterrupt:
        text = f"Interrupted {stop}" if stop.args else "Interrupted: --resume and the run's folder continue"
    return "\n".join([text, *getattr(stop, "__notes__", ())])


def _end_process(message: str) -> None:
    """End one of several processes at once: the others wait for it, and it would wait for them, for minutes."""
    if jax.distributed.is_initialized() and jax.process_count() > 1:
        print(message, file=sys.stderr, flush=True)
        os._exit(1)


def _join() -> None:
    """Meet the other processes of this run; the first alone prints."""
    given = {name: os.environ.get(f"JAX_{name.upper()}") for name in ("num_processes", "process_id")}
    try:
        jax.distributed.initialize(**{name: int(value) for name, value in given.items() if value is not None})
    except (ValueError, RuntimeError) as error:
        raise BadInput(
            f"--distributed found no other processes ({error}): start the run by a cluster's launcher, or by "
            "python -m experiments.processes"
        ) from error
    if jax.process_index():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, it is open for as long as the process lives

"""A run: its folder, its stages, its time, and its report."""

import contextlib
import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from matplotlib.figure import Figure

from experiments.kit import index
from experiments.kit.config import RunConfig, TrainingConfig
from experiments.kit.exercise import Exercise
from experiments.kit.stages import recorded
from experiments.kit.statistics import verdict
from experiments.kit.wording import FILTERS
from jaxgen.report import Table, run_directory, write_json, write_report

TEST_RUN = " (The preset smoke only tests that everything runs. Its numbers mean nothing.)"
SECONDS = "seconds.json"  # in the folder of a stage that draws samples

Config = TypeVar("Config", bound=RunConfig)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Run(Generic[Config]):
    """A run in its folder.

    Attributes:
        exercise: what it is about.
        config: its settings.
        directory: its folder.
        command: the command that reproduces it.
        seconds: the duration of its earlier parts; a run that was stopped and resumed has several.
        began: when this part began, in seconds since 1970.
    """

    exercise: Exercise
    config: Config
    directory: Path
    command: str
    seconds: float
    began: float

    def stage(self, name: str, compute: Callable[[], Result]) -> Result:
        """The result of a stage: `compute()`, or what an earlier part of this run recorded.

        Args:
            name: the stage's name, which may hold `/`.
            compute: as `experiments.kit.stages.recorded` takes it.
        """
        with self.interruptible(name):
            return recorded(self.folder(name).with_name(f"{Path(name).name}.pickle"), compute)

    def folder(self, name: str) -> Path:
        """The folder of a stage that keeps its own files, such as checkpoints or batches of samples."""
        return self.directory / "stages" / name

    @contextlib.contextmanager
    def interruptible(self, name: str) -> Iterator[None]:
        """Says how to go on where Ctrl-C ends a stage."""
        try:
            yield
        except KeyboardInterrupt as stop:
            if not stop.args:
                stop.args = (f"in the stage {name!r}; --resume {self.directory} continues after the stages that ended",)
            raise

    def write_report(
        self,
        template: Path,
        *,
        values: Any,
        metrics: Any,
        figures: Mapping[str, Figure | bytes],
        tables: Mapping[str, Table],
        filters: Mapping[str, Callable[..., Any]] | None = None,
    ) -> Path:
        """Write the report and the index of all runs, and print the report's path.

        Args:
            template: the exercise's report.md.
            values: a NamedTuple or mapping of what the template may use, beside `config`.
            metrics: the numbers for metrics.json.
            figures: by name.
            tables: by name.
            filters: the exercise's own filters.
        """
        values = values._asdict() if hasattr(values, "_asdict") else dict(values)
        with self.interruptible("report"):
            path = write_report(
                self.directory,
                template,
                title=self.exercise.title,
                question=self.exercise.question + (TEST_RUN if self.config.preset == "smoke" else ""),
                figures=figures,
                tables=tables,
                values={"config": self.config, "verdict": verdict, **values},
                filters={**FILTERS, **(filters or {})},
                metrics=metrics,
                config=settings(self.config),
                command=self.command,
                seconds=self.seconds + time.time() - self.began,
            )
            if jax.process_index() == 0:
                index.write(self.directory.parent.parent)
        print(f"report: {path}")
        return path


def begin(exercise: Exercise, config: Config, arguments: Sequence[str] | None = None) -> Run[Config]:
    """Begin a run in a new folder, or go on with the one that config.resume names.

    The settings in force are written at each start. Among several processes all get the first one's folder.

    Args:
        exercise: what the run is about.
        config: its settings.
        arguments: the flags of this start; by default those of the command line, or the call in Python where the
            exercise was not started by one.

    Raises:
        BadInput: if batches cannot be split over the devices, or a run that has trained networks is to train for fewer
            steps.
    """
    called = arguments is None and exercise.name not in Path(sys.argv[0]).with_suffix("").parts[-2:]
    arguments = list(sys.argv[1:] if arguments is None and not called else arguments or ())
    if isinstance(config, TrainingConfig) and (config.data_parallel or config.fully_sharded):
        _check_divisible(config)
    if config.resume is None:
        directory = _shared(run_directory(config.runs, exercise.name) if jax.process_index() == 0 else Path())
        seconds = 0.0
    else:
        directory = config.resume
        before, steps = _trained_for(directory), getattr(config, "steps", None)
        if before is not None and steps < before and any(directory.rglob("params.safetensors")):
            raise BadInput(
                f"--steps {steps} is below the {before} of {directory}, which has trained networks: give {before} or "
                "more"
            )
        earlier, seconds = _earlier_parts(directory)
        arguments = [*earlier, *without_resume(arguments)]
    module = f"experiments.{exercise.name}"
    command = f"{module}.__main__.main({config})" if called else shlex.join(["python", "-m", module, *arguments])
    run = Run(exercise, config, directory, command, seconds, time.time())
    if jax.process_index() == 0:
        if _trained_for(directory) not in (None, getattr(config, "steps", None)):
            _forget_results(directory / "stages")
        write_json(directory / "config.json", settings(config))
        write_json(directory / "run.json", {"arguments": arguments, "seconds": seconds, "began": run.began})
    return run


def _trained_for(directory: Path) -> int | None:
    """The training steps that the run has been asked for so far."""
    file = directory / "config.json"
    return json.loads(file.read_text()).get("steps") if file.is_file() else None


def _forget_results(stages: Path) -> None:
    """Remove records and samples, which another number of training steps makes wrong; checkpoints stay."""
    for record in stages.rglob("*.pickle"):
        record.unlink()
    for timed in list(stages.rglob(SECONDS)):
        shutil.rmtree(timed.parent)


def settings(config: RunConfig) -> dict[str, Any]:
    """The settings that a run is written down with."""
    return {name: value for name, value in asdict(config).items() if name not in ("resume", "draw_from")}


def _check_divisible(config: TrainingConfig) -> None:
    devices = jax.device_count()
    for name, size in asdict(config).items():
        if name.endswith("batch_size") and size % devices:
            given = f"--{name.replace('_', '-')} {size}"
            raise BadInput(f"{given} cannot be split over {devices} devices: give a multiple of them")


def _shared(directory: Path) -> Path:
    """The first process's folder."""
    if jax.process_count() == 1:
        return directory
    path = np.frombuffer(str(directory.absolute()).encode().ljust(4096), np.uint8)
    return Path(multihost_utils.broadcast_one_to_all(path).tobytes().decode().rstrip())


def _earlier_parts(directory: Path) -> tuple[list[str], float]:
    """The flags that the run has been given so far, and the seconds that its parts took.

    A part ended, however it ended, when it last wrote a file. What `--from` drew afterwards is no part of the run.
    """
    file = directory / "run.json"
    if not file.is_file():
        return [], 0.0
    earlier = json.loads(file.read_text())
    drawn = directory / "drawn"
    files = [path for path in directory.rglob("*") if path.is_file() and drawn not in path.parents]
    last = max(path.stat().st_mtime for path in files)
    return earlier["arguments"], earlier["seconds"] + max(0.0, last - earlier["began"])


def without_resume(arguments: Sequence[str]) -> list[str]:
    """Flags without `--resume DIR`."""
    kept = [flag for flag in arguments if not flag.startswith("--resume=")]
    if "--resume" in kept:
        i = kept.index("--resume")
        del kept[i : i + 2]
    return kept


class BadInput(ValueError):
    """Input that an experiment cannot use."""

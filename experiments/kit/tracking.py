"""Losses in TensorBoard or Weights & Biases, by their own libraries."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax

from experiments.kit.run import BadInput, Run, settings


@contextmanager
def tracker(run: Run, name: str) -> Iterator[Callable[[int, Mapping[str, Any]], None] | None]:
    """A function of (step, metrics) that logs where `--log` says, or None.

    Args:
        run: the run.
        name: the network's folder, which becomes a part of the log's name.

    Raises:
        BadInput: if the library is not installed.
    """
    to = getattr(run.config, "log", "none")
    if to == "none" or jax.process_index():
        yield None
    elif to == "tensorboard":
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise BadInput("--log tensorboard needs tensorboardX: pip install tensorboardX") from error
        with SummaryWriter(str(run.directory / "tensorboard" / name)) as writer:
            yield lambda step, row: [writer.add_scalar(key, row[key], step) for key in row if key != "step"]
    else:
        try:
            import wandb
        except ImportError as error:
            raise BadInput("--log wandb needs wandb: pip install wandb") from error
        title = f"{run.directory.name}/{name}".strip("/")
        with wandb.init(project=run.exercise.name, name=title, id=title.replace("/", "-"), resume="allow",
                        config=settings(run.config)) as logged:  # fmt: skip
            yield lambda step, row: logged.log({key: row[key] for key in row if key != "step"}, step=step)

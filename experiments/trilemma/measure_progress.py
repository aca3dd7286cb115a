"""The Fréchet distance along the training of every family, and the seconds to reach a given one."""

from typing import NamedTuple

import jax
import numpy as np

from experiments.kit.run import Run
from experiments.kit.sampling import draw
from experiments.trilemma.config import Config
from experiments.trilemma.family import Family
from experiments.trilemma.measure_images import BATCH, Sampled, sampler
from experiments.trilemma.quality import Comparison
from experiments.trilemma.train import Trained


class Progress(NamedTuple):
    """The Fréchet distance of one set of images after some seconds of training.

    Attributes:
        seconds: (marks,).
        frechets: (marks,).
    """

    seconds: np.ndarray
    frechets: np.ndarray


class Reached(NamedTuple):
    """The training seconds between which a distance is reached; `after` is None where it is not.

    Attributes:
        before: the last measured seconds at which it is not reached yet, 0 if it is at the first.
        after: the first measured seconds at which it is.
    """

    before: float
    after: float | None


def measure_progress(
    run: Run[Config],
    families: dict[str, Family],
    trained: dict[str, Trained],
    images: dict[str, Sampled],
    compare: Comparison,
) -> dict[str, Progress]:
    """Follow every family by the first of its ways; its last distance is that of the first set of its images."""
    config, found = run.config, {}
    for name, family in families.items():
        title, way = next(iter(family.ways.items()))
        function, of = sampler(way), trained[name]

        def distance(steps: int, params, title=title, function=function) -> float:
            drawn = draw(
                run, f"progress/{title}/{steps}", function, params, config.samples,
                key=jax.random.key(config.seed + 3), batch_size=BATCH,
            )  # fmt: skip
            return compare.frechet(drawn.images)

        frechets = [
            run.stage(f"progress/{title}/{steps} steps", lambda steps=steps, params=params: distance(steps, params))
            for steps, params in of.snapshots[:-1]
        ]
        seconds = np.array([snapshot.steps for snapshot in of.snapshots]) * of.budget.seconds_per_step
        found[name] = Progress(seconds, np.array([*frechets, images[title].sets[0].frechet]))
    return found


def common_target(progress: dict[str, Progress], given: float) -> float:
    """The given distance, or the median of the families' last ones."""
    return given or float(np.median([of.frechets[-1] for of in progress.values()]))


def reached(progress: Progress, target: float) -> Reached:
    """When a distance is reached, at the marks of a training."""
    below = np.flatnonzero(progress.frechets <= target)
    if not len(below):
        return Reached(float(progress.seconds[-1]), None)
    first = int(below[0])
    return Reached(float(progress.seconds[first - 1]) if first else 0.0, float(progress.seconds[first]))

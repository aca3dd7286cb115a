"""Fills of partly observed images by every method, and their errors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.controllable.config import Config
from experiments.controllable.measure_errors import Errors, Nearest, errors, nearest
from experiments.controllable.methods import methods
from experiments.controllable.tasks import tasks
from experiments.kit.run import Run
from experiments.kit.sampling import draw
from experiments.kit.score_model import Model

SHOWN, SHOWN_FILLS, BATCH = 12, 2, 100


class Fills(NamedTuple):
    """The fills of one task.

    Attributes:
        title: what is filled in.
        truth: the first images, (k, h, w, c).
        observed: what is observed of them, as images.
        fills: by method, the first two fills of each, (2, k, h, w, c).
        errors: by method, over all images.
        nearest: the method nearest to the truth.
    """

    title: str
    truth: np.ndarray
    observed: np.ndarray
    fills: dict[str, np.ndarray]
    errors: dict[str, Errors]
    nearest: Nearest


def measure_fills(run: Run[Config], model: Model, truth: np.ndarray) -> dict[str, Fills]:
    """Fill in images (images, h, w, c) by every method in every task."""
    config, key = run.config, jax.random.key(run.config.seed + 3)
    n, chosen = config.fills * len(truth), tasks(truth.shape[1:], config.tasks)
    observed = {name: np.asarray(task.operator(jnp.asarray(truth))) for name, task in chosen.items()}
    fills: dict[str, dict[str, np.ndarray]] = {name: {} for name in chosen}
    found: dict[str, dict[str, Errors]] = {name: {} for name in chosen}
    for name, task in chosen.items():
        y = np.tile(observed[name], (config.fills, *[1] * (observed[name].ndim - 1)))
        for method, function in methods(model, config).items():

            def sampler(params, keys, y, function=function, operator=task.operator):
                return function(params, keys, operator, y)

            folder = f"fills/{name}/{method.replace('Π', 'Pi')}"
            drawn = draw(run, folder, sampler, model.params, n, key=key, cond=y, batch_size=min(n, BATCH)).images
            by_fill = drawn.reshape(config.fills, *truth.shape)
            fills[name][method] = np.clip(by_fill[:SHOWN_FILLS, :SHOWN], -1, 1)
            found[name][method] = errors(task.operator, truth, by_fill)
    near = nearest(found)
    return {
        name: Fills(
            task.title, truth[:SHOWN], np.clip(task.show(observed[name][:SHOWN]), -1, 1), fills[name], found[name],
            near[name],
        )
        for name, task in chosen.items()
    }  # fmt: skip

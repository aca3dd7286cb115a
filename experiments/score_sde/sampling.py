"""Samples of the models, each set of them a stage of the run."""

from collections.abc import Mapping

import jax
import numpy as np

from experiments.kit.drawing import Drawer, Drawn
from experiments.kit.run import Run
from experiments.kit.score_model import Model
from jaxgen.samplers import Sampler


class Sampling:
    """Draws samples of each process's model from the same initial noise.

    The process and the parameters are arguments of what is compiled, so each sampler is compiled once.

    Args:
        run: the run, which keeps what is drawn.
        models: the models by process, of one network.
        keys: one key per sample.
    """

    def __init__(self, run: Run, models: Mapping[str, Model], keys: jax.Array):
        self.models, self.keys, self._run = models, keys, run
        model = next(iter(models.values()))
        self._draw = Drawer(
            run.config, lambda process, params: model._replace(process=process).denoise(params), model.shape, keys
        )

    def __call__(self, process: str, name: str, sampler: Sampler, times: np.ndarray) -> Drawn:
        """The samples of a process's model at the end of a grid; `name` tells sampler and grid from others."""
        model = self.models[process]
        return self._run.stage(
            f"samples/{process}/{name}", lambda: self._draw(model.process, model.params, sampler, times)
        )

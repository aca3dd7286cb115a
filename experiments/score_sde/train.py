"""The networks of the score-SDE exercise."""

from typing import NamedTuple

import flax.linen as nn

from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.score_model import Model, train
from experiments.score_sde.config import Config
from experiments.score_sde.processes import three_processes
from jaxgen.data import to_uint8


class Trained(NamedTuple):
    """The models by process, and one more of VP, trained from another seed."""

    models: dict[str, Model]
    twin: Model


def train_models(run: Run[Config], net: nn.Module, data: Images) -> Trained:
    """Train one network for all processes, or one for each, and the twin of VP's."""
    config, processes = run.config, three_processes()
    images = to_uint8(data.train.images), to_uint8(data.held_out.images[:256])
    if config.separate:
        models = {
            name: train(run, name, net, process, config.steps, config.seed, *images)
            for name, process in processes.items()
        }
    else:
        shared = train(run, "shared", net, None, config.steps, config.seed, *images)
        models = {name: shared._replace(process=process) for name, process in processes.items()}
    own = processes["VP"] if config.separate else None
    twin = train(run, "twin", net, own, config.twin_steps, config.seed + 100, *images)
    return Trained(models, twin._replace(process=processes["VP"]))

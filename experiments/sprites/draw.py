"""Samples of the model of a finished run."""

from pathlib import Path

import jax
import numpy as np

from experiments.kit.devices import cores_sharding
from experiments.kit.images import read_description
from experiments.kit.run import BadInput
from experiments.kit.sampling import Method, save_images
from experiments.sprites.config import Config
from experiments.sprites.train import load_model
from jaxgen import generation
from jaxgen.samplers import ddim


def draw_again(config: Config) -> Path:
    """Draw config.samples images by DDIM from the model of the run config.draw_from, all classes in turn.

    Returns:
        The path of images.npz, which lies in a folder drawn/ of that run beside a PNG of the first hundred.

    Raises:
        BadInput: if that folder holds images of another draw, such as of a model that was since trained further.
    """
    model, present = load_model(config.draw_from), read_description(config.draw_from).present
    folder = config.draw_from / "drawn" / f"{config.samples}-seed-{config.seed}"
    labels = np.resize(present, config.samples) if present else None
    method, batch_size = Method(ddim(), min(50, model.process.steps)), min(50, config.samples)
    try:
        images = generation.generate(
            method.function(model), model.params, jax.random.key(config.seed), config.samples,
            batch_size=batch_size, cond=(labels, None), directory=folder / "batches",
            progress=config.progress, sharding=cores_sharding(config, batch_size),
        )  # fmt: skip
    except ValueError as error:
        raise BadInput(str(error)) from error
    return save_images(folder, images, labels)

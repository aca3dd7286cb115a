"""The dSprites images of a run."""

from typing import NamedTuple

import jax
import numpy as np

from experiments.beta_vae.config import Config
from experiments.kit.launch import reading_data
from jaxgen.data import DSPRITES_FACTORS, DSprites, load_dsprites

FACTORS = tuple(DSPRITES_FACTORS)[1:]  # without the colour, which is constant
LEAST_HELD_OUT = 20  # the figures take twelve


class Data(NamedTuple):
    """Training and held-out images."""

    train: DSprites
    held_out: DSprites


def pixels(images: DSprites, rows: jax.Array) -> jax.Array:
    """The images (b, h, w, 1), in [0, 1], that rows of `images.codes` stand for."""
    return images.images(rows) / 255


def load(config: Config) -> Data:
    """Training and held-out images; raises BadInput for what could only fail after training."""
    with reading_data():
        how = {"size": config.size, "average": config.size < 64}
        everything = DSprites(**how) if config.data is None else load_dsprites(config.data, **how)
        # the last orientation equals the first
        orientation = range(0, 39 if config.orientation_stride > 1 else 40, config.orientation_stride)
        kept = everything.subset(
            orientation=list(orientation), x=slice(None, None, config.x_stride), y=slice(*config.y_classes)
        )
        order, held = np.random.default_rng(config.seed).permutation(len(kept)), round(config.held_out * len(kept))
        if held < LEAST_HELD_OUT or len(kept) - held < config.batch_size:
            raise ValueError(
                f"of {len(kept)} images {held} are held out: the figures take {LEAST_HELD_OUT}, and --batch-size "
                f"{config.batch_size} as many of the others; keep more by smaller strides"
            )
        data = Data(kept.take(order[held:]), kept.take(order[:held]))
        probed = data.train.take(slice(config.probe)).factors[:, 1:]
        if constant := [name for name, column in zip(FACTORS, probed.T, strict=True) if np.ptp(column) == 0]:
            raise ValueError(f"the metrics need two classes of every factor, and {constant} have one: keep more images")
    print(f"{len(data.train)} training and {len(data.held_out)} held-out images")
    return data

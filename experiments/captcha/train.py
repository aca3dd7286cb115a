"""The diffusion model of the CAPTCHA exercise, and its samples."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.captcha.config import Config
from experiments.captcha.data import Data
from experiments.kit.launch import reading_data
from experiments.kit.run import Run
from experiments.kit.sampling import draw
from experiments.kit.score_model import Model, grid, train
from jaxgen.diffusion import guidance, vp
from jaxgen.nets import UNet
from jaxgen.samplers import dpmpp_2m, sample

NULL = -1  # the characters of an example whose text the network does not see


def build(config: Config, data: Data) -> nn.Module:
    """The network, if it takes these images; raises BadInput if it does not."""
    texts = data.train
    reads = {"num_tokens": texts.num_classes, "sequence_length": texts.labels.shape[1]}
    if config.network == "dit":
        net = config.dit(**reads)
    else:
        net = UNet(
            config.channels, config.multipliers, cross_attention_levels=config.cross_attention, patch=config.patch,
            **reads, **config.compute,
        )  # fmt: skip
    with reading_data():
        x = np.zeros((1, *texts.images.shape[1:]), np.float32)
        jax.eval_shape(net.init, jax.random.key(0), x, jnp.zeros(1))
    return net


def train_model(run: Run[Config], net: nn.Module, data: Data) -> Model:
    """Train the network by EDM's objective; the model is that of the VP process, by which it is sampled."""
    config = run.config
    conditions = data.train.labels, jnp.asarray(data.held_out.labels[:256])
    model = train(
        run, "score", net, None, config.steps, config.seed, data.train.images, jnp.asarray(data.held_out.images[:256]),
        conditions=conditions, drop=config.drop_text,
    )  # fmt: skip
    return model._replace(process=vp())


class TextSampler:
    """Draws images of texts by DPM-Solver++(2M), with guidance; one compiled function for all scales.

    Args:
        run: the run, which keeps the images.
        model: the model.
        steps: steps of the sampler.
    """

    def __init__(self, run: Run[Config], model: Model, steps: int):
        self._run, self._model = run, model
        times = grid(model.process, steps)

        def draw_images(params: Any, keys: jax.Array, cond: tuple[jax.Array, jax.Array]) -> jax.Array:
            tokens, scale = cond
            guided = guidance.classifier_free(model.process, model.denoise(params), tokens, NULL, scale, clip=1.0)
            return sample(keys, model.process, guided, dpmpp_2m(), times, model.shape)

        self._draw = jax.jit(draw_images)

    def __call__(self, name: str, tokens: np.ndarray, scale: float, seed: int) -> np.ndarray:
        """An image in [−1, 1] for each text.

        Args:
            name: name of the set of images.
            tokens: texts (n, length).
            scale: scale of guidance; 0 does not see the texts.
            seed: seed of the noise, the same at all scales.
        """
        cond = np.asarray(tokens), np.full(len(tokens), scale, np.float32)
        key = jax.random.key(seed)
        return draw(
            self._run, f"samples/{name}", self._draw, self._model.params, len(tokens), key=key, cond=cond
        ).images

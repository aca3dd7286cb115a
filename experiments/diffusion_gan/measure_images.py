"""The quality and the cost of images by DDGAN, DDPM and DDIM."""

from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.diffusion_gan.config import Config
from experiments.diffusion_gan.train_images import DDGAN, DDPM, ImageModels
from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance, Quality
from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.sampling import draw
from jaxgen.diffusion import Denoiser, GaussianProcess, subset_grid, uniform_grid
from jaxgen.gan import ddgan
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.samplers import Sampler, ddim, ddpm, sample

SHOWN = 50


class Method(NamedTuple):
    """A way to draw images: a model's parameters, its denoiser, a sampler and its times."""

    params: Any
    process: GaussianProcess
    denoise: Any  # (parameters) -> Denoiser
    sampler: Sampler
    times: np.ndarray


class Sampled(NamedTuple):
    """The quality of each set of images, their cost, and the first of them; the cost of real images is None.

    Attributes:
        sets: quality of each set.
        calls: network calls for an image.
        seconds: seconds per 50 images, the median of the batches.
        shown: the first images (50, h, w, c).
    """

    sets: list[Quality]
    calls: int | None
    seconds: float | None
    shown: np.ndarray

    def of(self, field: str) -> np.ndarray:
        """A field of `Quality` for each set, (sets,)."""
        return np.array([getattr(found, field) for found in self.sets])

    def mean(self, field: str) -> MeanAndError:
        """Its mean and standard error over the sets."""
        return mean_and_error(self.of(field))


def methods(config: Config, models: ImageModels) -> dict[str, Method]:
    """All methods by name; DDPM's network serves DDIM too."""
    net, few = models.diffusion, config.denoising_steps

    def clipped(params: Any) -> Denoiser:
        return net.denoise(params, clip=1.0)

    def chain(sampler: Sampler, steps: int) -> Method:
        return Method(net.params, net.process, clipped, sampler, subset_grid(config.timesteps, steps))

    found = {f"{DDGAN}-{few}": Method(
        models.game.generator, models.process, models.ddgan, ddgan(config.latents), uniform_grid(few)
    )}  # fmt: skip
    found |= {f"DDIM-{steps}": chain(ddim(), steps) for steps in sorted({few, *config.ddim_steps})}
    return found | {f"{DDPM}-{steps}": chain(ddpm(), steps) for steps in (few, config.timesteps)}


def measure_images(run: Run[Config], data: Images, models: ImageModels, classifier: Classifier) -> dict[str, Sampled]:
    """Draw sets of images by every method and compare them with the training images; held-out images come last."""
    config = run.config
    n = min(config.samples, len(data.held_out) // config.sets)
    distance = FrechetDistance(classifier, data.train.images, data.held_out.images, n)
    shape = data.train.images.shape[1:]

    def sampled(name: str, method: Method) -> Sampled:
        def images_of(params: Any, keys: jax.Array, _: None) -> jax.Array:
            return sample(keys, method.process, method.denoise(params), method.sampler, method.times, shape)

        drawn = draw(
            run, f"images/{name}", images_of, method.params, n * config.sets, key=jax.random.key(config.seed + 3)
        )
        sets = [distance.quality(drawn.images[i * n : (i + 1) * n]) for i in range(config.sets)]
        return Sampled(sets, len(method.times) - 1, drawn.seconds, drawn.images[:SHOWN])

    found = {name: sampled(name, method) for name, method in methods(config, models).items()}
    real = [distance.quality(data.held_out.images[i * n : (i + 1) * n]) for i in range(config.sets)]
    return found | {"held-out images": Sampled(real, None, None, data.held_out.images[:SHOWN])}

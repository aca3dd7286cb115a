"""Images by recovery likelihood: their quality and cost, and whether longer chains leave them."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance, Quality
from experiments.kit.images import Images
from experiments.kit.run import Run
from experiments.kit.sampling import draw
from experiments.recovery_likelihood.config import Config
from experiments.recovery_likelihood.train_images import ImageModels
from jaxgen.metrics import MeanAndError, mean_and_error, median_distance, mmd_squared, rbf_kernel

RECOVERY, START, KERNELS, REAL = "recovery likelihood", "score matching alone", "Gaussian kernels", "held-out images"
SHOWN = 45
EXCESS = (1, 2, 4)  # noise over that of the data
FRAMES = 10  # of long chains, each as long as all levels of sampling


class Sampled(NamedTuple):
    """The quality of each set of images, their cost, and the first of them; the cost of real images is None.

    Attributes:
        sets: quality of each set.
        calls: calls of the energy's gradient for an image.
        seconds: seconds per 50 images, the median of the batches.
        shown: the first images (n, h, w, c).
    """

    sets: list[Quality]
    calls: int | None
    seconds: float | None
    shown: np.ndarray

    def mean(self, field: str) -> MeanAndError:
        """The mean and standard error of a field of `Quality` over the sets."""
        return mean_and_error(np.array([getattr(found, field) for found in self.sets], np.float64))


class LongChains(NamedTuple):
    """Chains that go on in the energy of the data, from samples and from held-out images.

    Attributes:
        calls: calls after sampling (frames + 1,).
        distances: squared MMD in the classifier's features to training images, by start (frames + 1,).
        floor: that of as many held-out images.
        shown: some images along the way from samples (frames shown, n, h, w, c).
        shown_calls: their calls.
    """

    calls: np.ndarray
    distances: dict[str, np.ndarray]
    floor: float
    shown: np.ndarray
    shown_calls: list[int]


class ImagesMeasured(NamedTuple):
    """Everything of the images."""

    methods: dict[str, Sampled]
    long: LongChains
    pulls: dict[str, np.ndarray]  # see `measure_pulls`
    number: int
    calls: int


def measure_images(run: Run[Config], data: Images, models: ImageModels, classifier: Classifier) -> ImagesMeasured:
    """Draw sets of images by every method and compare them with the training images; then long chains."""
    config, chain = run.config, models.chain
    n = min(config.samples, len(data.held_out) // config.sets)
    distance = FrechetDistance(classifier, data.train.images, data.held_out.images, n)
    shape, inner = data.train.images.shape[1:], config.chain_steps

    def by_levels(params: Any, keys: jax.Array, _: None) -> jax.Array:
        return chain.denoised(params, chain.draw(params, keys, inner, shape))

    def by_gaussians(params: Any, keys: jax.Array, _: None) -> jax.Array:
        return chain.gaussian(params, keys, shape)

    calls = chain.ladder.steps * inner
    ways = {
        RECOVERY: (by_levels, models.recovered, calls + 1),
        START: (by_levels, models.start, calls + 1),
        KERNELS: (by_gaussians, models.recovered, chain.ladder.steps),
    }

    def sampled(name: str, function: Any, params: Any, calls: int) -> Sampled:
        key = jax.random.key(config.seed + 3)
        drawn = draw(run, f"images/{name}", function, params, n * config.sets, key=key)
        sets = [distance.quality(drawn.images[i * n : (i + 1) * n]) for i in range(config.sets)]
        return Sampled(sets, calls, drawn.seconds, np.clip(drawn.images[:SHOWN], -1, 1))

    found = {name: sampled(name, *way) for name, way in ways.items()}
    real = [distance.quality(data.held_out.images[i * n : (i + 1) * n]) for i in range(config.sets)]
    found[REAL] = Sampled(real, None, None, data.held_out.images[:SHOWN])
    long = run.stage("images/long", partial(measure_long, config, data, models, classifier))
    pulls = run.stage("images/pulls", partial(measure_pulls, config, data, models))
    return ImagesMeasured(found, long, pulls, n, calls)


def measure_pulls(config: Config, data: Images, models: ImageModels) -> dict[str, np.ndarray]:
    """The share of a held-out image's noise ε that the energy of the data pulls back, σ² ⟨∇E, ε⟩/‖ε‖², at `EXCESS`.

    Where the data's own directions are few, it is nearly 1 for the exact energy, also where ε is larger than the
    noise σ of the level. It is the step of Tweedie's formula along ε.
    """
    x, factors = jnp.asarray(data.held_out.images[: config.long_samples]), config.data_noise * np.array(EXCESS)
    eps = jax.random.normal(jax.random.key(config.seed + 8), x.shape)

    @jax.jit
    def pull(params: Any, noise: jax.Array) -> jax.Array:
        noisy = x + noise * eps
        removed = noisy - models.chain.denoised(params, noisy)
        return (removed * eps).sum() / (noise * (eps**2).sum())

    ways = {RECOVERY: models.recovered, START: models.start}
    return {name: np.array([float(pull(params, noise)) for noise in factors]) for name, params in ways.items()}


def measure_long(config: Config, data: Images, models: ImageModels, classifier: Classifier) -> LongChains:
    """Chains of ten times the calls of sampling, in the energy of the data."""
    chain, n = models.chain, min(config.long_samples, len(data.held_out))
    thin = chain.ladder.steps * config.chain_steps
    keys = jax.random.split(jax.random.key(config.seed + 4), n)
    real = data.held_out.images[-n:]

    @jax.jit
    def go_on(params: Any, keys: jax.Array, start: jax.Array) -> jax.Array:
        path = chain.go_on(params, keys, start, FRAMES, thin)
        return jax.lax.map(partial(chain.denoised, params), path)

    noisy = real + config.data_noise * np.asarray(jax.random.normal(jax.random.key(config.seed + 5), real.shape))
    begin = jax.jit(partial(chain.draw, steps=config.chain_steps, shape=real.shape[1:]))
    starts = {RECOVERY: begin(models.recovered, keys), REAL: jnp.asarray(noisy)}
    paths = {name: np.asarray(go_on(models.recovered, keys, start)) for name, start in starts.items()}
    reference = classifier.features(data.train.images[: 10 * n])
    kernel = partial(rbf_kernel, bandwidths=(median_distance(reference, classifier.features(real)),))

    def distance(images: np.ndarray) -> float:
        if not np.isfinite(images).all():
            return float("nan")
        return float(mmd_squared(classifier.features(np.clip(images, -1, 1)), reference, kernel))

    shown = sorted({0, 1, FRAMES // 2, FRAMES})
    return LongChains(
        thin * np.arange(FRAMES + 1),
        {name: np.array([distance(x) for x in path]) for name, path in paths.items()},
        distance(real),
        np.clip(np.nan_to_num(paths[RECOVERY][shown, :15]), -1, 1),
        [thin * frame for frame in shown],
    )

"""What the exercise on transformers measures: numbers and images."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance
from experiments.kit.images import Images, source
from experiments.kit.run import Run
from experiments.kit.sampling import draw
from experiments.kit.score_model import Model, grid
from experiments.transformer.config import Config
from experiments.transformer.train import Trained
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.samplers import dpmpp_2m, sample
from jaxgen.training import History

SHOWN, NOISE_LEVELS, HELD_OUT = 12, np.geomspace(0.05, 10, 12), 512


class Network(NamedTuple):
    """A trained network, its cost and its quality.

    Attributes:
        parameters: their number.
        steps: training steps.
        seconds_per_step: seconds of a training step.
        seconds: seconds of all training steps.
        history: its losses.
        errors: mean squared error of the denoised held-out images at each noise level, (levels,).
        distances: Fréchet distance of each set of samples, (sets,).
        distance: their mean and standard error.
        agreement: share of samples that the classifier reads as the class that was asked for, of each set; None
            without labels.
        sampling_seconds: seconds that a set of samples takes.
        images: the first samples (12, h, w, c).
    """

    parameters: int
    steps: int
    seconds_per_step: float
    seconds: float
    history: History
    errors: np.ndarray
    distances: np.ndarray
    distance: MeanAndError
    agreement: MeanAndError | None
    sampling_seconds: float
    images: np.ndarray


class Measured(NamedTuple):
    """Everything the report shows.

    Attributes:
        source: where the images come from.
        real: training images (60, h, w, c).
        train_count: training images.
        held_out_distance: Fréchet distance of as many held-out images to the training images.
        trained_on: what the classifier was trained on.
        noise_levels: σ/α at which the errors are measured, (levels,).
        networks: the three trained networks, the U-Net first.
        tokens: tokens that the transformer makes of an image.
    """

    source: str
    real: np.ndarray
    train_count: int
    held_out_distance: float
    trained_on: str
    noise_levels: np.ndarray
    networks: dict[str, Network]
    tokens: int


def measure(run: Run[Config], data: Images, trained: dict[str, Trained], classifier: Classifier) -> Measured:
    """Draw sets of samples from each network by the same noise, and compare them with the training images."""
    config = run.config
    distance = FrechetDistance(classifier, data.train.images, data.held_out.images, config.samples)
    height, width = data.train.images.shape[1:3]
    return Measured(
        source=source(config),
        real=data.train.images[:60],
        train_count=len(data.train),
        held_out_distance=distance.floor,
        trained_on=classifier.trained_on,
        noise_levels=NOISE_LEVELS,
        networks={name: measure_one(run, name, data, of, classifier, distance) for name, of in trained.items()},
        tokens=height * width // config.dit_patch**2,
    )


def measure_one(
    run: Run[Config], name: str, data: Images, trained: Trained, classifier: Classifier, distance: FrechetDistance
) -> Network:
    """Sample a network, and denoise held-out images by it."""
    config, model = run.config, trained.model
    n = config.samples * config.sets
    labels = None
    if data.held_out.labels is not None:
        labels = data.held_out.labels[np.resize(np.arange(len(data.held_out)), n)]
    drawn = draw(
        run, f"samples/{name}", sampler(model, config.sampling_steps), model.params, n,
        key=jax.random.key(config.seed + 3), cond=labels, batch_size=config.samples,
    )  # fmt: skip
    sets = drawn.images.reshape(config.sets, config.samples, *model.shape)
    distances = run.stage(f"distances/{name}", lambda: np.array([distance(images) for images in sets]))
    agreement = None
    if labels is not None:
        right = classifier.classify(drawn.images).argmax(-1) == labels
        agreement = mean_and_error(right.reshape(config.sets, -1).mean(-1))
    return Network(
        parameters=trained.parameters,
        steps=trained.steps,
        seconds_per_step=trained.seconds_per_step,
        seconds=trained.seconds,
        history=model.history,
        errors=run.stage(f"errors/{name}", lambda: denoising_errors(model, data.held_out.images[:HELD_OUT])),
        distances=distances,
        distance=mean_and_error(distances),
        agreement=agreement,
        sampling_seconds=drawn.seconds,
        images=drawn.images[:SHOWN],
    )


def sampler(model: Model, steps: int) -> Any:
    """The function (params, keys, labels) -> images that draws by DPM-Solver++(2M)."""
    times = grid(model.process, steps)

    def function(params: Any, keys: jax.Array, labels: Any) -> jax.Array:
        denoise = model.denoise(params, labels, clip=1.0)
        return sample(keys, model.process, denoise, dpmpp_2m(), times, model.shape)

    return function


def denoising_errors(model: Model, images: np.ndarray) -> np.ndarray:
    """The mean squared error of E[x0|x] without labels at each noise level, by the same noise for every network."""
    process, x0 = model.process, jnp.asarray(images)
    eps = jax.random.normal(jax.random.key(0), x0.shape)

    @jax.jit
    def error(params: Any, t: jax.Array) -> jax.Array:
        x = process.alpha(t) * x0 + process.sigma(t) * eps
        return jnp.square(model.denoise(params)(x, t).x0 - x0).mean()

    times = process.time_at_log_snr(-2 * np.log(NOISE_LEVELS))
    return np.array([error(model.params, t) for t in times])

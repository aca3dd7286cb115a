"""What the sprites exercise measures: numbers and images."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance
from experiments.kit.images import Images, source
from experiments.kit.nearest import nearest_images
from experiments.kit.run import Run
from experiments.kit.sampling import Method, Model, draw
from experiments.kit.training import parameter_count
from experiments.sprites.config import Config
from jaxgen.diffusion import GaussianProcess, perturb, transition
from jaxgen.samplers import ddim, ddpm
from jaxgen.training import History

SHOWN_CLASSES, PER_CLASS = 10, 20


class Forward(NamedTuple):
    """The schedule at steps 1 … T, and five images along the forward process."""

    beta: np.ndarray  # (T,)
    alpha: np.ndarray  # (T,)
    sigma: np.ndarray  # (T,)
    log_snr: np.ndarray  # (T,)
    steps: np.ndarray  # (k,), the steps shown
    path: np.ndarray  # (k, 5, h, w, c)


class Spread(NamedTuple):
    """Of a set of images: standard deviation of a pixel across them, and contrast of neighbouring pixels."""

    variety: float
    detail: float


class Classes(NamedTuple):
    """Samples of the classes asked for, and the share that the classifier reads as asked."""

    count: int  # of the classes that training images show
    names: Sequence[str]  # of the classes shown
    images: np.ndarray  # (k, n, h, w, c)
    agreement: float


class Sampled(NamedTuple):
    """A method's samples, their cost and their quality; cost is None for real images."""

    images: np.ndarray
    frechet: float
    precision: float
    recall: float
    calls: int | None = None
    seconds: float | None = None
    first_seconds: float | None = None


class Measured(NamedTuple):
    """Everything the report shows."""

    source: str
    real: np.ndarray  # (60, h, w, c)
    train_count: int
    forward: Forward
    parameters: int
    history: History
    methods: dict[str, Sampled]  # DDPM, then DDIM by falling numbers of steps
    noised: Sampled  # DDIM from held-out images noised to step T
    held_out: Sampled
    shown: str  # the DDIM of the figures
    silent: np.ndarray  # (50, h, w, c), DDPM without z
    spread: dict[str, Spread]
    trajectory: np.ndarray  # (steps + 1, 10, h, w, c)
    classes: Classes | None
    classifier: Classifier
    nearest: np.ndarray  # (12, h, w, c), the training images nearest to the first samples of DDPM
    nearest_distance: float


def measure(run: Run[Config], data: Images, model: Model, history: History, classifier: Classifier) -> Measured:
    """Sample by every method and compare the samples."""
    config, n = run.config, run.config.samples
    key = jax.random.key(config.seed + 3)
    # every method is asked for the classes of the same held-out images, which are also compared
    chosen = np.resize(np.arange(len(data.held_out)), n)
    labels = None if data.held_out.labels is None else data.held_out.labels[chosen]
    compared = min(n, len(data.held_out))
    distance = FrechetDistance(classifier, data.train.images, data.held_out.images, compared)

    def sampled(name: str, steps: int, function: Callable[..., jax.Array], start: Any = None) -> Sampled:
        drawn = draw(run, f"samples/{name}", function, model.params, n, key=key, cond=(labels, start))
        return Sampled(
            drawn.images, *distance.quality(drawn.images[:compared]), steps, drawn.seconds, drawn.first_seconds
        )

    steps = model.process.steps
    methods = {f"DDPM-{steps}": sampled(f"DDPM-{steps}", steps, Method(ddpm(), steps).function(model))}
    by_ddim = {count: Method(ddim(), count).function(model) for count in sorted(config.ddim_steps, reverse=True)}
    for count, function in by_ddim.items():
        methods[f"DDIM-{count}"] = sampled(f"DDIM-{count}", count, function)
    count = 50 if 50 in config.ddim_steps else max(config.ddim_steps)
    eps = jax.random.normal(jax.random.key(config.seed + 5), (n, *model.shape))
    start = perturb(model.process, jnp.asarray(data.held_out.images)[chosen], 1.0, eps)

    first = labels if labels is None else labels[:50]
    by_ddpm = methods[f"DDPM-{steps}"].images
    silent = draw(
        run, "samples/DDPM without z", Method(ddpm(noise_scale=0.0), steps).function(model), model.params, 50,
        key=key, cond=(first, None),
    ).images  # fmt: skip
    sets = {"without z": silent, "DDPM": by_ddpm[:50], "real": data.train.images[:2000]}
    nearest, distances = nearest_images(by_ddpm[:12], data.train.images)
    return Measured(
        source=source(config),
        real=data.train.images[:60],
        train_count=len(data.train),
        forward=forward_process(model.process, data.train.images[:5]),
        parameters=parameter_count(model.params),
        history=history,
        methods=methods,
        noised=sampled(f"DDIM-{count} from noised images", count, by_ddim[count], start),
        held_out=Sampled(data.held_out.images[:n], *distance.quality(data.held_out.images[:compared])),
        shown=f"DDIM-{count}",
        silent=silent,
        spread={name: spread(images) for name, images in sets.items()},
        trajectory=run.stage("trajectory", lambda: trajectory(model, key, first)),
        classes=None if labels is None else class_samples(run, model, by_ddim[count], classifier, data),
        classifier=classifier,
        nearest=data.train.images[nearest],
        nearest_distance=float(np.median(distances)),
    )


def forward_process(process: GaussianProcess, images: np.ndarray) -> Forward:
    """The schedule, and five images at eleven steps, each reached from x0 in one step."""
    t = np.arange(1, process.steps + 1) / process.steps
    shown = np.unique(np.round(np.linspace(0, 1, 11) ** 1.5 * process.steps)).astype(int)
    eps = jax.random.normal(jax.random.key(0), images.shape)
    path = [perturb(process, jnp.asarray(images), step / process.steps, eps) for step in shown]
    beta = transition(process, t - 1 / process.steps, t).variance
    curves = [np.asarray(curve) for curve in (beta, process.alpha(t), process.sigma(t), process.log_snr(t))]
    return Forward(*curves, shown, np.stack(path))


def spread(images: np.ndarray) -> Spread:
    """How much images vary, and the contrast within them."""
    return Spread(float(np.mean(np.std(images, axis=0))), float(np.mean(np.abs(np.diff(images, axis=2)))))


def trajectory(model: Model, key: jax.Array, labels: np.ndarray | None) -> np.ndarray:
    """Ten DDPM samples as they form, those that the table's first ten are."""
    method = Method(ddpm(), model.process.steps)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(10, dtype=jnp.uint32))
    cond = (None if labels is None else labels[:10], None)
    return np.asarray(jax.jit(method.function(model, trajectory=True))(model.params, keys, cond))


def class_samples(
    run: Run[Config], model: Model, function: Callable[..., jax.Array], classifier: Classifier, data: Images
) -> Classes:
    """Samples of each class that training images show, or of ten spread over all where there are more."""
    present = np.unique(data.train.labels)
    shown = present[np.linspace(0, len(present) - 1, min(SHOWN_CLASSES, len(present))).astype(int)]
    labels = np.repeat(shown, PER_CLASS)
    images = draw(
        run, "samples/classes", function, model.params, len(labels),
        key=jax.random.key(run.config.seed + 4), cond=(labels, None),
    ).images  # fmt: skip
    agreement = float(np.mean(classifier.classify(images).argmax(-1) == labels))
    names = [data.names[label] for label in shown]
    return Classes(len(present), names, images.reshape(len(shown), PER_CLASS, *model.shape), agreement)

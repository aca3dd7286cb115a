"""What the comparison of autoencoders measures: numbers and images."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance
from experiments.kit.run import Run
from experiments.kit.sampling import draw
from experiments.vae_zoo.config import Config
from experiments.vae_zoo.data import Data
from experiments.vae_zoo.measure_codes import HeldOut, examine
from experiments.vae_zoo.model import SC, VAE, VAMP, VQ, Model
from jaxgen.data import ImageDataset
from jaxgen.metrics import MeanAndError, bits_per_dim, mean_and_error
from jaxgen.training import History

SHOWN_CLASSES = 7  # whose colours can be distinguished
SHOWN_CODES = 1000


class Result(NamedTuple):
    """A model's results on held-out images, n of them, and its samples; None where there is no prior."""

    history: History
    held_out: HeldOut
    bits: np.ndarray | None  # (n,), −log p in bits/dim, or an upper bound on it
    bound: np.ndarray | None  # (n,), −ELBO in bits/dim
    rate: np.ndarray | None  # (n,), nats
    samples: np.ndarray | None
    sample_distance: float | None  # Fréchet distances
    reconstruction_distance: float


class Difference(NamedTuple):
    """A model minus the VAE, image by image: −log p in bits/dim, and the rate in nats."""

    bits: MeanAndError
    rate: MeanAndError


class Measured(NamedTuple):
    """Everything the report shows."""

    source: str
    levels: int
    real: np.ndarray  # (60, h, w, c)
    train_count: int
    held_out: np.ndarray  # (12, h, w, c)
    held_out_count: int
    models: dict[str, Result]
    differences: dict[str, Difference]  # of VampPrior and VQ-VAE
    by_error: Sequence[str]  # the models by ascending reconstruction error
    by_distance: Sequence[str]  # those with samples by ascending Fréchet distance
    pseudo_inputs: np.ndarray  # (≤ 36, h, w, c)
    atoms: np.ndarray  # (≤ 36, h, w, c), images of single atoms
    class_names: Sequence[str]  # of the classes shown
    groups: np.ndarray | None  # indices of the classes of the codes shown
    floor: float  # Fréchet distance of held-out images
    floor_count: int
    trained_on: str  # what the classifier was trained on


def measure(run: Run[Config], data: Data, models: dict[str, Model], classifier: Classifier) -> Measured:
    """Look at the codes of held-out images, sample the priors, and measure both."""
    config, key, images = run.config, jax.random.key(run.config.seed + 5), data.held_out.images
    rows, names, groups = shown_codes(data.held_out)
    examined = {
        name: run.stage(f"held-out/{name}", lambda model=model: examine(model, key, images, rows, config.progress))
        for name, model in models.items()
    }
    samples = {
        name: draw(run, f"samples/{name}", model.sample, model.params, config.samples, key=key).images
        for name, model in models.items()
        if model.sample is not None
    }
    floor, distances = run.stage("frechet", lambda: frechet_distances(config, data, classifier, examined, samples))
    results = {}
    for name, model in models.items():
        said = examined[name].log_likelihood
        bits = bound = rate = None
        if said is not None:
            bits, bound = (bits_per_dim(-values, images[0].size) for values in (said.nll, said.bound))
            rate = said.rate.astype(np.float64)
        drawn = samples.get(name)
        results[name] = Result(model.history, examined[name], bits, bound, rate, drawn, *distances[name])
    return Measured(
        source=data.source,
        levels=data.levels,
        real=data.train.images[:60],
        train_count=len(data.train),
        held_out=images[:12],
        held_out_count=len(images),
        models=results,
        differences={name: difference(results[name], results[VAE]) for name in (VAMP, VQ)},
        by_error=sorted(results, key=lambda name: results[name].held_out.errors.mean()),
        by_distance=sorted(samples, key=lambda name: results[name].sample_distance),
        pseudo_inputs=examined[VAMP].learned,
        atoms=examined[SC].learned,
        class_names=names,
        groups=groups,
        floor=floor,
        floor_count=min(len(images), config.samples),
        trained_on=classifier.trained_on,
    )


def shown_codes(held_out: ImageDataset) -> tuple[np.ndarray, Sequence[str], np.ndarray | None]:
    """The held-out images whose codes are shown: their rows, the names of their classes, and the class of each."""
    if held_out.labels is None:
        return np.arange(len(held_out))[:SHOWN_CODES], (), None
    classes = np.unique(held_out.labels)[:SHOWN_CLASSES]
    rows = np.flatnonzero(np.isin(held_out.labels, classes))[:SHOWN_CODES]
    names = [held_out.label_names[i] if held_out.label_names else str(i) for i in classes]
    return rows, names, np.searchsorted(classes, held_out.labels[rows])


def difference(of: Result, reference: Result) -> Difference:
    """The mean difference of two models over the held-out images, and its error."""
    return Difference(mean_and_error(of.bits - reference.bits), mean_and_error(of.rate - reference.rate))


def frechet_distances(
    config: Config, data: Data, classifier: Classifier, examined: dict[str, HeldOut], samples: dict[str, np.ndarray]
) -> tuple[float, dict[str, tuple[float | None, float]]]:
    """The distance of held-out images, and those of each model's samples and reconstructions."""
    frechet = FrechetDistance(classifier, data.train.images, data.held_out.images, config.samples)
    found = {
        name: (frechet(samples[name]) if name in samples else None, frechet(of.reconstructions))
        for name, of in examined.items()
    }
    return frechet.floor, found

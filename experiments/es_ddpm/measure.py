"""What the ES-DDPM exercise measures: numbers and images."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from experiments.es_ddpm.config import Config
from experiments.es_ddpm.measure_comparison import (
    Compared,
    EqualCalls,
    Fewest,
    Late,
    at_equal_calls,
    compare,
    fewest_steps,
    latest_start,
)
from experiments.es_ddpm.methods import CHAIN, VAE, DrawnSet, Method, late, longer, methods
from experiments.kit.autoencoder import Trained
from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance
from experiments.kit.images import Images, source
from experiments.kit.run import Run
from experiments.kit.score_model import Model
from experiments.kit.training import parameter_count
from jaxgen.training import History

SHOWN = 10


class Distances(NamedTuple):
    """Fréchet distances of each set by method, (sets,), and of held-out images."""

    methods: dict[str, np.ndarray]
    held_out: float


class Sampled(NamedTuple):
    """What a method has drawn.

    Attributes:
        calls: calls of the diffusion network, as counted.
        seconds: seconds that a set takes, the least of all sets.
        images: the first samples of the first set, (10, h, w, c).
        compared: its distances against the whole chain's.
    """

    calls: int
    seconds: float
    images: np.ndarray
    compared: Compared


class Measured(NamedTuple):
    """Everything the report shows.

    Attributes:
        source: where the images come from.
        real: training images (60, h, w, c).
        train_count: training images.
        held_out_count: held-out images in their Fréchet distance.
        held_out_distance: Fréchet distance of held-out images to the training images.
        trained_on: what the classifier was trained on.
        parameters: number of parameters by model.
        histories: losses by model.
        methods: all methods by name, the whole chain last.
        starts: T′, ascending.
        vae: the VAE alone, compared with the whole chain.
        late: starts at T′, by T′.
        ddpm: DDPM's longer steps from noise, by their number.
        ddim: DDIM's.
        chain: the whole chain.
        allowed: how much larger a distance may be, if it is to count as as good as the whole chain's.
        late_start: how late the chain may start.
        fewest: how few longer steps are as good, by sampler.
        equal_calls: which is better at as many calls.
        moved: root mean square distance in pixels from the VAE's samples, by T′.
        vae_distance: the same between two samples of the VAE.
    """

    source: str
    real: np.ndarray
    train_count: int
    held_out_count: int
    held_out_distance: float
    trained_on: str
    parameters: dict[str, int]
    histories: dict[str, History]
    methods: dict[str, Sampled]
    starts: list[int]
    vae: Compared
    late: dict[int, Compared]
    ddpm: dict[int, Compared]
    ddim: dict[int, Compared]
    chain: Compared
    allowed: float
    late_start: Late
    fewest: dict[str, Fewest]
    equal_calls: EqualCalls
    moved: dict[int, float]
    vae_distance: float


def measure(run: Run[Config], data: Images, vae: Trained, diffusion: Model, classifier: Classifier) -> Measured:
    """Draw sets of samples by every method, and compare their Fréchet distances and times with the whole chain's."""
    config = run.config
    starts = sorted(set(config.starts))
    drawn = draw_sets(run, methods(config, vae, diffusion))
    sets = {name: np.stack([each.images for each in of]) for name, of in drawn.items()}
    # the least of the sets, because the first ones compile
    seconds = {name: min(each.seconds for each in of) for name, of in drawn.items()}
    distances = run.stage("distances", lambda: frechet_distances(config, data, classifier, sets))

    def compared(name: str) -> Compared:
        return compare(distances.methods[name], distances.methods[CHAIN], seconds[name] / seconds[CHAIN])

    by_start = {n: compared(late(n)) for n in starts}
    by_steps = {kind: {n: compared(longer(kind, n)) for n in starts} for kind in ("DDPM", "DDIM")}
    whole = compared(CHAIN)
    allowed = config.margin * whole.distance.mean
    moved = {n: root_mean_square(sets[late(n)] - sets[VAE]) for n in starts}
    return Measured(
        source=source(config),
        real=data.train.images[:60],
        train_count=len(data.train),
        held_out_count=len(data.held_out.images[: config.samples]),
        held_out_distance=distances.held_out,
        trained_on=classifier.trained_on,
        parameters={"vae": parameter_count(vae.params), "diffusion": parameter_count(diffusion.params)},
        histories={"vae": vae.history, "diffusion": diffusion.history},
        methods={
            name: Sampled(of[0].calls, seconds[name], sets[name][0, :SHOWN], compared(name))
            for name, of in drawn.items()
        },
        starts=starts,
        vae=compared(VAE),
        late=by_start,
        ddpm=by_steps["DDPM"],
        ddim=by_steps["DDIM"],
        chain=whole,
        allowed=allowed,
        late_start=latest_start(by_start, allowed),
        fewest={kind: fewest_steps(of, allowed) for kind, of in by_steps.items()},
        equal_calls=at_equal_calls(by_start, by_steps["DDPM"]),
        moved=moved,
        vae_distance=root_mean_square(sets[VAE][:-1] - sets[VAE][1:]),
    )


def draw_sets(run: Run[Config], methods: Mapping[str, Method]) -> dict[str, list[DrawnSet]]:
    """All sets of samples of all methods."""
    drawn = {name: [] for name in methods}
    for index in range(run.config.sets):
        # in turns, so that a busy machine disturbs all methods alike
        for name, method in methods.items():
            drawn[name].append(run.stage(f"samples/{name}/{index}", partial(method, index)))
    return drawn


def frechet_distances(
    config: Config, data: Images, classifier: Classifier, sets: Mapping[str, np.ndarray]
) -> Distances:
    """The Fréchet distance of each set (sets, n, h, w, c) of each method to the training images."""
    distance = FrechetDistance(classifier, data.train.images, data.held_out.images, config.samples)
    return Distances({name: np.array([distance(images) for images in of]) for name, of in sets.items()}, distance.floor)


def root_mean_square(x: np.ndarray) -> float:
    """The root mean square of an array."""
    return float(np.sqrt(np.mean(np.square(x))))

"""What the exercise on flows measures: numbers and images."""

from functools import partial
from typing import NamedTuple

from experiments.flows.config import Config
from experiments.flows.data import Data
from experiments.flows.measure_exam import Exam, exam
from experiments.flows.measure_images import ImageResults, image_results
from experiments.flows.measure_plane import Plane, PlaneFlow, plane_flow, truths
from experiments.flows.train import Model
from experiments.flows.train_plane import Trained, slug
from experiments.kit.classifier import Classifier
from experiments.kit.fixed_features import fixed_distances
from experiments.kit.frechet import FrechetDistance
from experiments.kit.parallel import in_parallel
from experiments.kit.run import Run
from jaxgen.training import History

ENOUGH = 0.05  # nats from the entropy, within which a flow has reached it


class Measured(NamedTuple):
    """Everything the report shows."""

    truths: dict[str, Plane]
    plane: dict[str, dict[str, PlaneFlow]]  # by density and kind
    reached: list[str]  # the kinds within ENOUGH of the entropy of each density
    missed: list[str]
    enough: float
    images: dict[str, ImageResults]
    histories: dict[str, History]
    exam: Exam
    accuracy: float  # of the classifier


def measure(
    run: Run[Config],
    plane: dict[tuple[str, str], Trained],
    data: dict[str, Data],
    models: dict[str, Model],
    classifier: Classifier,
) -> Measured:
    """Measure every part; each is a stage of the run."""
    config, sprites = run.config, data["sprites"]
    distance = FrechetDistance(classifier, sprites.train.images, sprites.held_out.images, config.compared)
    parts = {"exam": partial(_exam, config, sprites, models["sprites"], distance)}
    parts |= {f"images/{name}": partial(image_results, config, data[name], model) for name, model in models.items()}
    names = {which: f"plane/{slug(which[1])}/{slug(which[0])}" for which in plane}
    parts |= {name: partial(plane_flow, config, *which, plane[which]) for which, name in names.items()}
    parts |= {"plane/truths": partial(truths, config)}
    done = in_parallel(run, {name: partial(Run.stage, name=name, compute=of) for name, of in parts.items()})
    found: dict[str, dict[str, PlaneFlow]] = {}
    for (density, kind), name in names.items():
        found.setdefault(density, {})[kind] = done[name]
    each = list(next(iter(found.values())))
    reached = [kind for kind in each if all(of[kind].gap.mean < ENOUGH for of in found.values())]
    return Measured(
        truths=done["plane/truths"],
        plane=found,
        reached=reached,
        missed=[kind for kind in each if kind not in reached],
        enough=ENOUGH,
        images={name: done[f"images/{name}"] for name in models},
        histories={name: model.history for name, model in models.items()},
        exam=done["exam"],
        accuracy=classifier.accuracy,
    )


def _exam(config: Config, data: Data, model: Model, distance: FrechetDistance) -> Exam:
    """The exam's question, with the fixed features that are at hand."""
    fixed = fixed_distances(data.train.images[: config.compared], inception=config.inception)
    return exam(config, data, model, distance, fixed)

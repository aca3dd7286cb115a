"""What the exercise measures: chains of the plane, priors of latents, and images."""

from typing import NamedTuple

from experiments.kit.classifier import Classifier
from experiments.kit.images import Images, source
from experiments.kit.run import Run
from experiments.kit.training import parameter_count
from experiments.recovery_likelihood.config import Config
from experiments.recovery_likelihood.measure_images import ImagesMeasured, measure_images
from experiments.recovery_likelihood.measure_latent import LatentMeasured, measure_latent
from experiments.recovery_likelihood.measure_plane import (
    ENERGY,
    GAUSSIAN,
    PlaneMeasured,
    four_or_most,
    measure_plane,
)
from experiments.recovery_likelihood.train_images import ImageModels
from experiments.recovery_likelihood.train_latent import LatentModels
from experiments.recovery_likelihood.train_plane import Plane
from jaxgen.training import History


class Closed(NamedTuple):
    """How far energies close the hole of a chain of so many steps.

    Attributes:
        steps: the reverse steps.
        ratio: mass in the hole by energies over that by Gaussian kernels, of the means over seeds.
        weight_error: the largest error of a mode's weight in any seed, by energies.
        gaussian_weight_error: likewise by Gaussian kernels.
        quarter: whether the ratio is at most ¼.
        restored: whether the largest error is at most .03.
    """

    steps: int
    ratio: float
    weight_error: float
    gaussian_weight_error: float
    quarter: bool
    restored: bool


class Measured(NamedTuple):
    """Everything the report shows."""

    plane: PlaneMeasured
    closed: Closed
    latent: LatentMeasured
    images: ImagesMeasured
    plane_histories: dict[int, History]
    latent_histories: dict[str, History]
    image_histories: dict[str, History]
    parameters: dict[str, int]
    source: str
    train_count: int
    trained_on: str  # what the classifier was trained on


def closed(plane: PlaneMeasured) -> Closed:
    """The verdict on the chains of four steps, or of the most where there are none."""
    steps = four_or_most(plane.chains[ENERGY])
    energy, gaussian = plane.chains[ENERGY][steps], plane.chains[GAUSSIAN][steps]
    ratio = energy.hole.mean / gaussian.hole.mean if gaussian.hole.mean else float("nan")
    error = float(energy.weight_errors.max())
    return Closed(steps, ratio, error, float(gaussian.weight_errors.max()), bool(ratio <= 0.25), error <= 0.03)


def measure(
    run: Run[Config], plane: Plane, latent: LatentModels, models: ImageModels, data: Images, classifier: Classifier
) -> Measured:
    """Measure all three parts."""
    found, seeds = measure_plane(run, plane), run.config.seeds
    return Measured(
        plane=found,
        closed=closed(found),
        latent=measure_latent(run, latent, data, classifier),
        images=measure_images(run, data, models, classifier),
        plane_histories=plane.histories,
        latent_histories=latent.histories,
        image_histories=models.histories,
        parameters={
            "energy": parameter_count(next(iter(plane.energy_params.values()))) // seeds,
            "denoiser": parameter_count(plane.gaussian_params) // seeds,
            "prior": parameter_count(latent.energy) // seeds,
            "images": models.parameters,
        },
        source=source(run.config),
        train_count=len(data.train),
        trained_on=classifier.trained_on,
    )

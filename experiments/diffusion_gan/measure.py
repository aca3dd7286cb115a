"""What the exercise measures: numbers, samples of the plane, and images."""

from typing import NamedTuple

from experiments.diffusion_gan.config import Config
from experiments.diffusion_gan.measure_images import Sampled, measure_images
from experiments.diffusion_gan.measure_plane import Coverage, measure_plane
from experiments.diffusion_gan.plane_games import noise_ratios
from experiments.diffusion_gan.train_images import ImageModels
from experiments.diffusion_gan.train_plane import Plane
from experiments.kit.classifier import Classifier
from experiments.kit.images import Images, source
from experiments.kit.run import Run
from experiments.kit.training import parameter_count
from jaxgen.training import History


class Measured(NamedTuple):
    """Everything the report shows."""

    plane: dict[str, dict[str, Coverage]]  # by mixture and method, the mixture itself last
    noise_ratios: list[float]  # noise over signal after each step of the DDGAN's chain in the plane
    images: dict[str, Sampled]  # by method, held-out images last
    source: str
    train_count: int
    number: int  # of images in a set
    parameters: dict[str, int]  # of the networks of images
    game_history: History
    diffusion_history: History
    trained_on: str  # what the classifier was trained on


def measure(run: Run[Config], plane: Plane, data: Images, models: ImageModels, classifier: Classifier) -> Measured:
    """Measure the plane's methods and the images'."""
    images = measure_images(run, data, models, classifier)
    return Measured(
        plane=measure_plane(run, plane),
        noise_ratios=noise_ratios(run.config).tolist(),
        images=images,
        source=source(run.config),
        train_count=len(data.train),
        number=min(run.config.samples, len(data.held_out) // run.config.sets),
        parameters={
            "generator": parameter_count(models.game.generator),
            "critic": parameter_count(models.game.critic),
            "diffusion": parameter_count(models.diffusion.params),
        },
        game_history=models.game.history,
        diffusion_history=models.diffusion.history,
        trained_on=classifier.trained_on,
    )

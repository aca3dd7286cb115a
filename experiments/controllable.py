"""Controllable generation from one unconditional model: in-painting, colourisation, more pixels, classes.

The seminar's section on conditioning without retraining (Song et al. 2021, §5): the same score model answers questions
that it was never trained for, given an observation of the image or a classifier of noisy images.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp

from experiments import controllable_classes as classes
from experiments import controllable_fills as fills
from experiments import launch
from experiments.config import UNetConfig
from experiments.features import train_judge
from experiments.images import load, source
from experiments.score_model import train
from jaxgen.data import to_uint8
from jaxgen.diffusion import vp
from jaxgen.report import Report, curves, image_grid


@dataclass(frozen=True)
class Config(UNetConfig):
    """Train an unconditional score model of images and ask it for conditional samples."""

    size: int = 16
    """Height and width of the images in pixels, a multiple of 4."""
    steps: int = 3000
    """Training steps of the score model."""
    classifier_steps: int = 600
    """Training steps of the classifier of noisy images."""
    judge_steps: int = 250
    """Training steps of the classifier of clean images that judges."""
    observed: int = 20
    """Held-out images that are observed in part."""
    fills: int = 4
    """Samples for each of them."""
    calls: int = 60
    """Network calls of each fill, whatever the method."""
    repeats: int = 5
    """Passes of each step in RePaint, out of the same number of calls."""
    step_size: float = 1.0
    """ζ' of diffusion posterior sampling."""
    scales: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0)
    """Scales of classifier guidance."""
    class_samples: int = 100
    """Class-conditional samples at each scale."""
    class_steps: int = 30
    """Steps of the class-conditional chains."""

    def __post_init__(self) -> None:
        """Refuse what could only fail after training."""
        super().__post_init__()
        self.at_least(1, "judge_steps", "classifier_steps", "repeats", "class_steps")
        if self.size % 4:
            raise ValueError(f"--size {self.size}: super-resolution averages squares of 4 × 4; give a multiple of 4")
        if self.observed < 5 or self.fills < 2 or self.class_samples < 20:
            raise ValueError(
                "the figures show 5 observed images, 2 fills measure diversity, 20 samples are shown by class: got "
                f"--observed {self.observed}, --fills {self.fills} and --class-samples {self.class_samples}"
            )
        if self.calls < 2 * self.repeats:
            raise ValueError(f"--calls {self.calls} must allow two steps of --repeats {self.repeats} passes")
        if not self.step_size > 0:
            raise ValueError(f"--step-size must be positive, got {self.step_size}")
        if 0 not in self.scales or not all(scale >= 0 for scale in self.scales):
            raise ValueError(f"--scales {self.scales} must be 0 or more, 0 among them to compare with")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        preset="smoke", images=400, channels=8, multipliers=(1,), steps=6, batch_size=8, classifier_steps=4,
        judge_steps=4, observed=5, fills=2, calls=4, repeats=2, scales=(0.0, 2.0), class_samples=20, class_steps=3,
        checkpoint_every=3,
    ),
    "paper": Config(
        preset="paper", images=89_400, channels=128, multipliers=(1, 2, 2), steps=100_000, batch_size=128,
        learning_rate=2e-4, ema=0.9999, classifier_steps=20_000, judge_steps=4000, observed=200, fills=10, calls=1000,
        repeats=10, class_samples=2000, class_steps=250, checkpoint_every=5000,
    ),
}  # fmt: skip


def main(config: Config) -> Path:
    """Run the exercise and return the path of its report."""
    with launch.reading_data():
        train_set, test_set = load(config)
        if len(test_set) < config.observed:
            raise ValueError(f"--observed {config.observed} exceeds the {len(test_set)} held-out images")
        net = config.unet()
        jax.eval_shape(net.init, jax.random.key(0), train_set.images[:1], jnp.zeros(1))
    directory = launch.begin("controllable", config)
    report = Report(
        "Controllable generation without retraining",
        "What can be asked of an unconditional score model after it is trained: missing pixels, missing colours, more "
        "pixels, a class; and which way of asking fits the observation and the data best?",
        launch.command("experiments.controllable"),
        config,
    )
    print(f"{len(train_set)} training and {len(test_set)} held-out images; writing {directory}")
    train_images, held_out = to_uint8(train_set.images), jnp.asarray(to_uint8(test_set.images[:256]))
    model = train(config, net, None, config.steps, config.seed, train_images, held_out, directory / "score")
    model = model._replace(process=vp())
    judge = train_judge(train_set, test_set, steps=config.judge_steps, seed=config.seed, progress=config.progress)

    report.section("The data and the model")
    report.figure(
        image_grid(train_set.images[:60], 15), "data", f"Training images, 60 of {len(train_set)}, {source(config)}."
    )
    report.figure(
        curves({"": model.history["eval/loss"]}, x_label="training step", y_label="held-out loss", log_y=True),
        "loss",
        f"Held-out loss of the unconditional model, batches of {config.batch_size}; it sees no labels and no masks.",
    )
    report.section("An observation of the image")
    fills.compare(report, config, model, test_set.images[: config.observed])
    report.section("A class")
    if train_set.labels is None:
        report.text("These images have no labels, so no classifier was trained.")
    else:
        classes.compare(report, config, model, train_set, test_set, judge, directory / "classifier")
    path = report.save(directory)
    print(f"report: {path}")
    return path


if __name__ == "__main__":
    launch.run(main, PRESETS)

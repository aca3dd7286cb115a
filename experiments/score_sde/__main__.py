"""Score SDEs: VE, VP and sub-VP, every sampler, the probability-flow ODE, likelihoods and codes.

The seminar's chapter on score-based models by stochastic differential equations (Song et al. 2021), and the exam's
question on the reverse SDE and its corrector. One denoiser, trained at all noise levels, serves the three processes;
`--separate` trains one per process, as the paper does.
"""

from pathlib import Path

from experiments.kit import images, launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin
from experiments.score_sde import EXERCISE
from experiments.score_sde.config import PRESETS, Config
from experiments.score_sde.measure import measure, sufficient
from experiments.score_sde.report import write
from experiments.score_sde.train import train_models


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = sufficient(images.load(config))
    net = images.fitting(config.build_network(), data)
    run = begin(EXERCISE, config)
    images.describe(run, data)
    trained = train_models(run, net, data)
    classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
    measured = measure(run, data, trained, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)

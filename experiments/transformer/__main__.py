"""A diffusion transformer (DiT) beside a U-Net of as many parameters, on 16×16 sprites.

Both are trained by the same objective on the same batches: the transformer once for as many steps as the U-Net, and
once for as many seconds. What does attention without convolutions cost, and what does it gain (Peebles & Xie 2023)?
"""

from pathlib import Path

from experiments.kit import images, launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin
from experiments.transformer import EXERCISE
from experiments.transformer.config import PRESETS, Config
from experiments.transformer.measure import measure
from experiments.transformer.report import write
from experiments.transformer.train import build, train_all


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = images.load(config)
    networks = build(config, data)
    run = begin(EXERCISE, config)
    trained = train_all(run, networks, data)
    classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
    measured = measure(run, data, trained, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)

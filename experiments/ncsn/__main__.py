"""NCSN on images: annealed Langevin dynamics with and without each technique of NCSNv2 (Song & Ermon 2019, 2020).

One network in NCSNv2's way and one in NCSN's serve every comparison. Each technique is left out by itself, at about the
same number of network calls, and then all of them. All variants sample with the same keys, in several independent sets,
so that differences have a standard error.
"""

from pathlib import Path

from experiments.kit import images, launch
from experiments.kit.classifier import train_classifier
from experiments.kit.run import begin
from experiments.ncsn import EXERCISE
from experiments.ncsn.config import PRESETS, Config
from experiments.ncsn.ladder import choose_ladder
from experiments.ncsn.measure import measure
from experiments.ncsn.report import write
from experiments.ncsn.train import train


def main(config: Config) -> Path:
    """Load, train, measure, report."""
    data = images.load(config)
    net = images.fitting(config.build_network(), data)
    run = begin(EXERCISE, config)
    images.describe(run, data)
    ladder = choose_ladder(run, data.train.images)
    unconditional = train(run, "NCSNv2", net, ladder, data, conditional=False)
    conditional = train(run, "NCSN", net, ladder, data, conditional=True)
    classifier = train_classifier(run, data.train, data.held_out, steps=config.classifier_steps)
    measured = measure(run, data, ladder, unconditional, conditional, classifier)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)

"""Why scores are learned under noise: empty regions, mode weights and manifolds, on 0.8 N((5,5),I) + 0.2 N((−5,−5),I).

The chapter on noise-conditional score networks of the seminar (Song & Ermon 2019, §3). Score matching on clean data
learns nothing where data are rare, Langevin dynamics does not weigh modes that it does not travel between, and data on
a curve have no score. Noise of many levels mends all three. The last part compares four score-matching objectives.
"""

from pathlib import Path

from experiments.kit import launch
from experiments.kit.run import begin
from experiments.ncsn_toy import EXERCISE
from experiments.ncsn_toy.config import PRESETS, Config
from experiments.ncsn_toy.measure import measure
from experiments.ncsn_toy.report import write
from experiments.ncsn_toy.train import train
from jaxgen.distributions import song_ermon_mixture


def main(config: Config) -> Path:
    """Train, measure, report."""
    run = begin(EXERCISE, config)
    models = train(run, song_ermon_mixture())
    measured = measure(run, models)
    return write(run, measured)


if __name__ == "__main__":
    launch.run(main, PRESETS)

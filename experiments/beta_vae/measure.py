"""What the β-VAE exercise measures: numbers and images."""

from typing import NamedTuple

import numpy as np

from experiments.beta_vae.config import Config
from experiments.beta_vae.data import FACTORS, Data
from experiments.beta_vae.measure_codes import SHOWN, Pictures, pictures, places
from experiments.beta_vae.measure_scores import ACTIVE, FOREST_CODES, Scores, Trend, scores, trend, values
from experiments.beta_vae.train import Models
from experiments.kit.run import Run
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.training import History

SUMMARISED = ("mig", "chen", "disentanglement", "modularity", "sap", "reconstruction", "kl", "active")


class Measured(NamedTuple):
    """Everything the report shows; a key "β" is β as text.

    Attributes:
        train_count: training images.
        probe_count: images whose codes the scores are of.
        forest_count: images whose codes DCI is of.
        active_from: KL in nats from which on a dimension counts as used.
        classes: number of classes of each factor, where there are several.
        real: training images, uint8 (60, h, w, 1).
        held_out: held-out images, uint8 (12, h, w, 1).
        histories: losses of the first seed by β.
        scores: scores of each seed by β.
        means: mean and standard error of each score over the seeds, by its name and by β.
        gaps: those of the gap of each factor, by β and factor.
        trends: how each score changes with β.
        pictures: what the first seed's model draws, by β.
        shapes: shape of each point of the pictures, (n,).
    """

    train_count: int
    probe_count: int
    forest_count: int
    active_from: float
    classes: dict[str, int]
    real: np.ndarray
    held_out: np.ndarray
    histories: dict[str, History]
    scores: dict[str, list[Scores]]
    means: dict[str, dict[str, MeanAndError]]
    gaps: dict[str, dict[str, MeanAndError]]
    trends: dict[str, Trend]
    pictures: dict[str, Pictures]
    shapes: np.ndarray


def measure(run: Run[Config], data: Data, models: Models) -> Measured:
    """Score all models, and draw what the first of each β has learned."""
    probe = run.config.probe
    found, drawn, histories = {}, {}, {}
    for beta, seeds in models.items():
        name = f"{beta:g}"
        found[name] = [
            run.stage(f"scores/beta-{name}-{i}", lambda model=model: scores(model, data, probe))
            for i, model in enumerate(seeds)
        ]
        drawn[name] = run.stage(f"pictures/beta-{name}", lambda model=seeds[0]: pictures(model, data))
        histories[name] = seeds[0].history
    by_name = {name: values(found, name) for name in SUMMARISED}
    classes = {name: len(np.unique(column)) for name, column in zip(FACTORS, data.train.factors[:, 1:].T, strict=True)}
    probed = min(probe, len(data.train))
    return Measured(
        train_count=len(data.train),
        probe_count=probed,
        forest_count=min(probed, FOREST_CODES),
        active_from=ACTIVE,
        classes={name: count for name, count in classes.items() if count > 1},
        real=data.train.images(data.train.codes[:60]),
        held_out=data.held_out.images(data.held_out.codes[:SHOWN]),
        histories=histories,
        scores=found,
        means={name: {beta: mean_and_error(each) for beta, each in of.items()} for name, of in by_name.items()},
        gaps={beta: _by_factor(each) for beta, each in found.items()},
        trends={name: trend(of) for name, of in by_name.items()},
        pictures=drawn,
        shapes=places(data.train).factors[::2, 1],
    )


def _by_factor(seeds: list[Scores]) -> dict[str, MeanAndError]:
    return dict(zip(FACTORS, map(mean_and_error, np.transpose([each.gaps for each in seeds])), strict=True))

"""What the mixture exercise measures: numbers and arrays."""

from functools import partial
from typing import NamedTuple

import jax

from experiments.gmm_scores.config import Config
from experiments.gmm_scores.draw import Drawing
from experiments.gmm_scores.measure_chains import Annealing, OneLevelChains, annealing, moving, one_level_chains
from experiments.gmm_scores.measure_many_levels import ManyLevels, many_levels
from experiments.gmm_scores.measure_samplers import Sampler, Samplers, measure_samplers
from experiments.gmm_scores.measure_scores import OneLevel, Target, one_level, target
from experiments.gmm_scores.train import Models, ladders
from experiments.kit.run import Run
from experiments.kit.toy_sampling import half_width


class Measured(NamedTuple):
    """Everything the report shows."""

    target: Target
    one_level: list[OneLevel]
    learned_q: bool  # whether every network of one σ is four times as near to the score of q as to that of p
    many: ManyLevels
    chains: OneLevelChains
    moving: dict[str, float]  # last moves of the ascents that have not come to rest, by name
    annealing: Annealing
    samplers: dict[str, Sampler]
    comparison: Samplers
    last: float  # the last noise level, sigma_min


def measure(run: Run[Config], models: Models) -> Measured:
    """Measure the scores, the chains, and every way of sampling."""
    config, half, levels = run.config, half_width(models.mixture), ladders(run.config)
    draws_key, error_key = jax.random.split(jax.random.key(config.seed + 2000))
    single = run.stage("scores/one-level", lambda: [one_level(models, sigma, half) for sigma in config.sigmas])
    drawing = Drawing(run, models, levels, half)
    chains, comparison = one_level_chains(drawing), measure_samplers(drawing)
    return Measured(
        target=run.stage("scores/mixture", partial(target, models.mixture, config.samples, half, draws_key)),
        one_level=single,
        learned_q=all(4 * of.to_q.weighted.mean < of.to_p.weighted.mean for of in single),
        many=run.stage("scores/many-levels", partial(many_levels, models, levels, half, error_key)),
        chains=chains,
        moving=moving(chains.ascent),
        annealing=annealing(drawing),
        samplers=comparison.all,
        comparison=comparison,
        last=float(levels.full[-1]),
    )

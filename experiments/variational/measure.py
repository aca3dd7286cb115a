"""What the exercise measures: numbers of every part, each a stage of its own."""

from typing import NamedTuple

from experiments.kit.run import Run
from experiments.variational.config import Config
from experiments.variational.measure_amortisation import Amortisation, amortisation
from experiments.variational.measure_ascents import Ascents, ascents
from experiments.variational.measure_gradients import Gradients, MoreDraws, gradients, more_draws
from experiments.variational.measure_minibatches import Minibatches, minibatches
from experiments.variational.measure_posteriors import Posterior, posteriors
from experiments.variational.measure_toy import Divergence, ToyAscent, divergences, toy_ascents
from experiments.variational.problems import problems


class Measured(NamedTuple):
    """Everything the report shows."""

    ascents: dict[str, Ascents]  # by model
    posteriors: dict[str, Posterior]  # by model
    minibatches: Minibatches
    gradients: Gradients
    more_draws: MoreDraws
    divergences: dict[float, Divergence]  # by datum x
    toy: list[ToyAscent]
    amortisation: list[Amortisation]  # by rank, ascending


def measure(run: Run[Config]) -> Measured:
    """Measure every part; float64 must be enabled."""
    config = run.config
    models = problems(config)
    found = run.stage("ascents", lambda: ascents(config, models))
    optima = {name: of.optimum for name, of in found.items()}
    return Measured(
        ascents=found,
        posteriors=run.stage("posteriors", lambda: posteriors(models, optima)),
        minibatches=run.stage("minibatches", lambda: minibatches(config)),
        gradients=run.stage("gradients", lambda: gradients(config)),
        more_draws=run.stage("more draws", lambda: more_draws(config)),
        divergences=divergences(config),
        toy=run.stage("toy", lambda: toy_ascents(config)),
        amortisation=run.stage("amortisation", lambda: amortisation(config)),
    )

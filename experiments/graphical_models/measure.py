"""What the exercise measures: decisions and numbers of every part, each a stage of its own."""

from typing import NamedTuple

from experiments.graphical_models.measure_conversions import Conversions, conversions
from experiments.graphical_models.measure_learning import Learned, learned, subjects
from experiments.graphical_models.measure_potentials import Marginalised, Scaling, marginalised, scalings
from experiments.graphical_models.measure_statements import Exhaustive, Tested, exhaustive, tested
from experiments.graphical_models.measure_toy import Toy, toys
from experiments.graphical_models.network_file import Subject
from experiments.graphical_models.statements import Decision, decide, structural
from experiments.kit.compilation import lightly_compiled
from experiments.kit.run import Run


class Own(NamedTuple):
    """A network of the user's own, with its decided statements."""

    subject: Subject
    decisions: list[Decision]


class Measured(NamedTuple):
    """Everything the report shows."""

    tested: list[Tested]
    structural: list[Decision]
    exhaustive: list[Exhaustive]
    conversions: Conversions
    scalings: list[Scaling]
    marginalised: Marginalised
    learned: list[Learned]
    toys: list[Toy]
    own: Own | None


def measure(run: Run, own: Subject | None) -> Measured:
    """Measure every part; float64 must be enabled."""
    config = run.config
    with lightly_compiled():  # many small programs, each of which runs once
        decisions = [decide(own.name, own.graph, text) for text in config.statements] if own else []
        decided = {
            "tested": run.stage("tested", lambda: tested(config)),
            "structural": run.stage("structural", structural),
            "exhaustive": run.stage("exhaustive", lambda: exhaustive(config)),
            "conversions": conversions(),  # a moment
            "scalings": run.stage("scalings", lambda: scalings(config)),
            "marginalised": run.stage("marginalised", lambda: marginalised(config)),
            "toys": toys(),
        }
    return Measured(
        **decided,
        learned=[run.stage(f"learned/{of.name}", lambda of=of: learned(config, of)) for of in subjects(config, own)],
        own=Own(own, decisions) if own else None,
    )

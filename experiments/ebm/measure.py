"""What the exercise measures: energies against the truth, and samples against their calls."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from experiments.ebm.config import Config
from experiments.ebm.measure_landscapes import Landscape, landscapes
from experiments.ebm.measure_samples import Cost, Drift, Samples, costs, drifts, samples
from experiments.ebm.methods import NAMES, methods
from experiments.ebm.train import Trained
from experiments.kit.run import Run
from experiments.kit.training import parameter_count
from jaxgen.training import History


class Measured(NamedTuple):
    """Everything the report shows.

    Attributes:
        landscapes: the energies, by density and method.
        samples: the samples, by density and method; "truth" are draws of the density itself.
        costs: distances against calls, by density and method.
        drifts: distances of chains that go on in a learned energy, by density and method.
        parameters: number of parameters of one network, by method.
        histories: what was followed in training, by density and method.
        reached: see `reached`.
        calls_to_match: see `calls_to_match`.
    """

    landscapes: dict[str, dict[str, Landscape]]
    samples: dict[str, dict[str, Samples]]
    costs: dict[str, dict[str, Cost]]
    drifts: dict[str, dict[str, Drift]]
    parameters: dict[str, int]
    histories: dict[str, dict[str, History]]
    reached: dict[str, bool]
    calls_to_match: dict[str, dict[str, int | None]]


def reached(found: dict[str, dict[str, Landscape]]) -> dict[str, bool]:
    """Whether each way to learn a density has a mean divergence of at most .05 nats on both, by name."""
    learned = ("persistent", "dsm", "recovery")
    return {NAMES[key]: all(of[key].divergence.mean <= 0.05 for of in found.values()) for key in learned}


def calls_to_match(found: dict[str, dict[str, Cost]]) -> dict[str, dict[str, int | None]]:
    """The fewest calls at which samples are as near as the DDPM's with the calls of its chain, within a tenth."""
    return {
        density: {
            NAMES[key]: next((int(n) for n, mmd in zip(of.calls, of.mmd, strict=True) if mmd <= goal), None)
            for key, of in each.items()
        }
        for density, each in found.items()
        for goal in [1.1 * each["ddpm"].mmd[-1]]
    }


def measure(run: Run[Config], trained: dict[str, dict[str, Trained]]) -> Measured:
    """Measure energies and samples; each density is a stage."""
    config, found = run.config, methods(run.config)

    def stages(part: str, compute: Callable[..., Any]) -> dict[str, Any]:
        """One part of every density."""
        return {
            name: run.stage(f"{part}/{name}", partial(compute, config, found, name, each))
            for name, each in trained.items()
        }

    shapes, cost = stages("landscapes", landscapes), stages("costs", costs)
    return Measured(
        landscapes=shapes,
        samples=stages("samples", samples),
        costs=cost,
        drifts=stages("drifts", drifts),
        parameters={
            NAMES[key]: parameter_count(of.params) // config.seeds for key, of in next(iter(trained.values())).items()
        },
        histories={name: {key: of.history for key, of in each.items()} for name, each in trained.items()},
        reached=reached(shapes),
        calls_to_match=calls_to_match(cost),
    )

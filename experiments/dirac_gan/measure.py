"""What the exercise measures: numbers of every part, each a stage of its own."""

from typing import NamedTuple

from experiments.dirac_gan.config import Config
from experiments.dirac_gan.measure_cycles import Cycles, cycles
from experiments.dirac_gan.measure_eigenvalues import Eigenvalues, eigenvalues
from experiments.dirac_gan.measure_portraits import Portrait, portraits
from experiments.dirac_gan.measure_steps import CriticalSizes, Moduli, StepLaws, critical_sizes, moduli, step_laws
from experiments.kit.run import Run
from jaxgen.gan import DiracVariant


class Measured(NamedTuple):
    """Everything the report shows."""

    portraits: dict[DiracVariant, Portrait]
    eigenvalues: Eigenvalues
    moduli: Moduli
    laws: StepLaws
    critical: list[CriticalSizes]
    cycles: Cycles


def measure(run: Run[Config]) -> Measured:
    """Measure every part; float64 must be enabled."""
    config = run.config
    return Measured(
        portraits=run.stage("portraits", lambda: portraits(config)),
        eigenvalues=run.stage("eigenvalues", lambda: eigenvalues(config)),
        moduli=run.stage("moduli", lambda: moduli(config)),
        laws=run.stage("laws", lambda: step_laws(config)),
        critical=run.stage("critical", lambda: critical_sizes(config)),
        cycles=run.stage("cycles", lambda: cycles(config)),
    )

"""The flags of the exercise on graphical models."""

from dataclasses import dataclass
from pathlib import Path

from experiments.kit.config import RunConfig


@dataclass(frozen=True)
class Config(RunConfig):
    """Statements on graphical models, and networks that are sampled, learned again and queried."""

    network: Path | None = None
    """A network of your own to sample, learn again and query: .json as the guide describes, or .bif with pgmpy."""
    statements: tuple[str, ...] = ()
    """Statements on --network to decide, such as "A ⊥ B | C, D"; "_|_" may stand for ⊥."""
    query: str = ""
    """Variable of --network to ask for; by default its last."""
    evidence: tuple[str, ...] = ()
    """What is observed of --network, such as "A=1" or "A=yes"."""
    states: int = 3
    """States of every variable in the random tables of the two Bayesian networks."""
    samples: tuple[int, ...] = (100, 300, 1000, 3000, 10_000)
    """Numbers of samples from which networks are learned again."""
    repetitions: int = 20
    """Times that this is done, for the error bars."""
    prior: float = 1.0
    """Pseudo-count of every entry of a conditional table."""
    penalty: float = 0.1
    """Strength λ of the penalty λ/(2n) ‖log φ‖² when potentials are learned from n samples."""

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        super().__post_init__()
        for name, least in {"states": 2, "repetitions": 2}.items():
            self.at_least(least, name)
        if list(self.samples) != sorted(set(self.samples)) or min(self.samples) < 1:
            raise ValueError(f"--samples must ascend and be positive, got {self.samples}")
        self.positive("prior", "penalty")
        given = [f"--{name}" for name in ("statements", "query", "evidence") if getattr(self, name)]
        if given and self.network is None:
            raise ValueError(f"{' and '.join(given)} without --network: they are for a network of your own")


PRESETS = {
    "default": Config(),
    "smoke": Config(preset="smoke", states=2, samples=(50, 100), repetitions=2),
    "paper": Config(preset="paper", samples=(100, 300, 1000, 3000, 10_000, 30_000, 100_000), repetitions=100),
}

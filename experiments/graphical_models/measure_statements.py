"""Independence in random tables, for the statements of the exercise and for all others."""

from collections.abc import Sequence
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np

from experiments.graphical_models.config import Config
from experiments.graphical_models.networks import GIVEN, Given, random_model
from experiments.graphical_models.statements import INDEPENDENCIES, Decision, decide, parse
from jaxgen import graphical

ROUNDING = 1e-12  # nats: less is no dependence


class Tested(NamedTuple):
    """A decided statement, and the conditional mutual information of its variables in random tables, in nats."""

    decision: Decision
    information: float

    @property
    def agrees(self) -> bool:
        """Whether the tables are independent exactly if the statement is true."""
        return (self.information < ROUNDING) == self.decision.true


class Exhaustive(NamedTuple):
    """All pairs of variables of a network with all conditioning sets."""

    network: str
    statements: int
    true: int
    contradicted: int  # by the information in random tables
    largest_if_true: float  # information in nats
    smallest_if_false: float


def joint_table(given: Given, config: Config) -> np.ndarray:
    """The joint distribution of a network with random tables, by exact inference."""
    return np.asarray(graphical.marginal(random_model(given, config.seed, config.states), tuple(given.graph)))


def information(joint: np.ndarray, x: Sequence[int], y: Sequence[int], given: Sequence[int]) -> float:
    """The conditional mutual information I(x; y | given) of axes of a joint table, in nats."""

    def entropy(*axes: int) -> float:
        summed = joint.sum(tuple(i for i in range(joint.ndim) if i not in axes))
        return -float(np.sum(summed * np.log(np.where(summed > 0, summed, 1))))

    return entropy(*x, *given) + entropy(*y, *given) - entropy(*x, *y, *given) - entropy(*given)


def tested(config: Config) -> list[Tested]:
    """The statements on independencies of all three networks."""
    found = []
    for given in GIVEN:
        joint, axis = joint_table(given, config), list(given.graph).index
        for text in INDEPENDENCIES[given.name]:
            x, y, z = (list(map(axis, names)) for names in parse(text))
            found.append(Tested(decide(given.name, given.graph, text), information(joint, x, y, z)))
    return found


def exhaustive(config: Config) -> list[Exhaustive]:
    """Every pair and conditioning set of all three networks."""
    found = []
    for given in GIVEN:
        joint, names = joint_table(given, config), list(given.graph)
        true, false = [], []
        for i, j in combinations(range(len(names)), 2):
            rest = [k for k in range(len(names)) if k not in (i, j)]
            for z in chain.from_iterable(combinations(rest, n) for n in range(len(rest) + 1)):
                separated = graphical.separation(given.graph, names[i], names[j], [names[k] for k in z]).separated
                (true if separated else false).append(information(joint, [i], [j], z))
        contradicted = sum(value >= ROUNDING for value in true) + sum(value < ROUNDING for value in false)
        found.append(
            Exhaustive(given.name, len(true) + len(false), len(true), contradicted, max(map(abs, true)), min(false))
        )
    return found

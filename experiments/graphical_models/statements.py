"""Statements on networks as text, and their decisions with witnesses."""

import itertools
import re
from typing import NamedTuple

import networkx as nx

from experiments.graphical_models.networks import FIRST, MARKOV, SECOND
from jaxgen import graphical

SHOWN_PATHS = 3


class Statement(NamedTuple):
    """The statement that x and y are independent given some variables."""

    x: tuple[str, ...]
    y: tuple[str, ...]
    given: tuple[str, ...]

    def __str__(self) -> str:
        """Such as "A ⊥ O | S"."""
        return f"{', '.join(self.x)} ⊥ {', '.join(self.y)}" + (f" | {', '.join(self.given)}" if self.given else "")


class Decision(NamedTuple):
    """A statement on a network, whether it is true, and why."""

    network: str
    statement: str
    true: bool
    reason: str


INDEPENDENCIES = {
    FIRST.name: [
        "M ⊥ S", "M ⊥ S | I", "M ⊥ S | D", "D ⊥ F | T", "D ⊥ M | I", "I ⊥ T", "I ⊥ T | D", "F ⊥ I", "F ⊥ I | D",
        "F ⊥ I | D, T", "F ⊥ M | D", "F ⊥ M | D, I", "M, S ⊥ F, T",
    ],
    SECOND.name: [
        "C ⊥ M", "A ⊥ O", "A ⊥ O | T", "A ⊥ O | M", "S ⊥ T", "S ⊥ T | O", "S ⊥ T | O, M", "A ⊥ B | O", "O ⊥ M | S, T",
        "O ⊥ M | B, T", "O ⊥ M | A, B, T",
    ],
    MARKOV.name: [
        "A ⊥ D | B, C", "A ⊥ E | B", "A ⊥ E | B, F", "B ⊥ F | C, D, E", "B ⊥ F | C, E", "A ⊥ G | E",
        "A, D ⊥ E, G | B, F",
    ],
}  # fmt: skip


def parse(text: str) -> Statement:
    """A statement such as "A ⊥ B | C, D"; "_|_" may stand for ⊥.

    Raises:
        ValueError: if the text is no such statement.
    """
    sides = re.split(r"⊥|_\|_", text)
    if len(sides) != 2:
        raise ValueError(f'no statement of independence: {text!r}, write "A ⊥ B | C, D"')
    left, (right, *given) = sides[0], sides[1].split("|")
    if len(given) > 1:
        raise ValueError(f'more than one bar in {text!r}, write "A ⊥ B | C, D"')
    parts = [tuple(name.strip() for name in part.split(",") if name.strip()) for part in (left, right, *given)]
    return Statement(parts[0], parts[1], parts[2] if given else ())


def decide(name: str, graph: nx.Graph, text: str) -> Decision:
    """Decide an independence on a graph: its witness is an active path, or the node that blocks each path."""
    statement = parse(text)
    found = graphical.separation(graph, *statement)
    reason = found.reason
    if found.separated and len(statement.x) == len(statement.y) == 1:
        paths = graphical.blocked_paths(graph, statement.x[0], statement.y[0], statement.given)
        some = list(itertools.islice(paths, SHOWN_PATHS + 1))
        shown = [path.reason for path in some[:SHOWN_PATHS]] or ["there is no path between them"]
        reason = "; ".join([*shown, "…"] if len(some) > SHOWN_PATHS else shown)
    return Decision(name, str(statement), found.separated, reason)


def structural() -> list[Decision]:
    """The statements that are not about a single independence."""
    second, markov = SECOND.graph, MARKOV.graph
    moral = graphical.moral_graph(second)
    blanket = graphical.markov_blanket(second, "T")
    kinds = ", ".join(f"{what} {', '.join(of)}" for what, of in blanket._asdict().items()).replace("_", "-")
    perfect = graphical.perfect_map(moral.graph, second)
    first_moral = graphical.moral_graph(FIRST.graph)
    first_perfect = graphical.perfect_map(first_moral.graph, FIRST.graph)

    def chordality(name: str, graph: nx.Graph) -> Decision:
        found = graphical.chordality(graph)
        cliques = "; ".join(map(", ".join, graphical.maximal_cliques(graph)))
        why = f"its cliques are {cliques}" if found.chordal else f"{' – '.join(found.cycle)} is a cycle without a chord"
        return Decision(name, "chordal", found.chordal, why)

    def blanket_is(names: str) -> Decision:
        text = f"the Markov blanket of T is {{{', '.join(names)}}}"
        return Decision(SECOND.name, text, blanket.names == set(names), kinds)

    return [
        blanket_is("OAMB"),
        blanket_is("OAM"),
        Decision(
            SECOND.name, "its moral graph is an I-map of it", graphical.i_map(moral.graph, second).holds,
            "any two nodes without an edge are separated in the network by all others",
        ),
        Decision(
            SECOND.name, "its moral graph is a perfect map of it", perfect.holds,
            f"{perfect.lost} is lost" if perfect.lost else "both assert the same independencies",
        ),
        Decision(
            FIRST.name, "its moral graph is a perfect map of it", first_perfect.holds,
            f"{first_perfect.lost} is lost" if first_perfect.lost else "both assert the same independencies",
        ),
        chordality(f"moral graph of the {FIRST.name}", first_moral.graph),
        chordality(f"moral graph of the {SECOND.name}", moral.graph),
        chordality(MARKOV.name, markov),
    ]  # fmt: skip

"""Conversions between directed and undirected graphs, and what they lose."""

from typing import NamedTuple

import networkx as nx

from experiments.graphical_models.networks import FIRST, MARKOV, SECOND
from jaxgen import graphical

Edges = list[tuple[str, str]]


class Loss(NamedTuple):
    """Independencies of a graph, and those that a conversion does not assert."""

    conversion: str
    added: Edges
    held: int
    lost: int
    example: str


class Conversions(NamedTuple):
    """The conversions of the three networks."""

    moral: nx.Graph  # of the second network
    marriages: dict[tuple[str, str], tuple[str, ...]]
    cycle: tuple[str, ...]  # without a chord, in the moral graph
    fills: Edges  # each alone makes the moral graph chordal
    oriented: nx.DiGraph  # a directed graph of the Markov network
    oriented_fill: Edges
    cliques: list[tuple[str, ...]]  # of the triangulated Markov network
    width: int
    losses: list[Loss]


def conversions() -> Conversions:
    """Convert all three networks."""
    moral = graphical.moral_graph(SECOND.graph)
    first = graphical.moral_graph(FIRST.graph)
    oriented = graphical.orientation(MARKOV.graph)
    triangulated = graphical.triangulation(MARKOV.graph)
    connected = SECOND.graph.subgraph(set(SECOND.graph) - {"C"})  # C is independent of everything
    return Conversions(
        moral=moral.graph,
        marriages=moral.marriages,
        cycle=graphical.chordality(moral.graph).cycle,
        fills=[edge for edge in nx.non_edges(moral.graph) if filled_by(moral.graph, edge)],
        oriented=oriented.graph,
        oriented_fill=oriented.fill,
        cliques=triangulated.cliques,
        width=triangulated.width,
        losses=[
            loss("first network → moral graph", FIRST.graph, first.graph, list(first.marriages)),
            loss(
                "second network without C → moral graph", connected, moral.graph.subgraph(connected),
                list(moral.marriages),
            ),
            loss("Markov network → directed graph", MARKOV.graph, oriented.graph, oriented.fill),
        ],
    )  # fmt: skip


def filled_by(graph: nx.Graph, edge: tuple[str, str]) -> bool:
    """Whether one more edge makes a graph chordal."""
    more = nx.Graph(graph)
    more.add_edge(*edge)
    return graphical.chordality(more).chordal


def loss(conversion: str, graph: nx.Graph, converted: nx.Graph, added: Edges) -> Loss:
    """Count the pairwise independencies that a conversion loses."""

    def asserted(of: nx.Graph) -> set:
        return {(frozenset((i.x, i.y)), i.given) for i in graphical.independencies(of)}

    held = asserted(graph)
    example = graphical.perfect_map(converted, graph).lost
    return Loss(
        conversion, added, len(held), len(held - asserted(converted)), "none" if example is None else str(example)
    )

"""Factorisations as text and as LaTeX."""

from collections.abc import Sequence

import networkx as nx

from jaxgen.graphical.chordal import maximal_cliques

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def factorisation(graph: nx.Graph, scopes: Sequence[Sequence[str]] | None = None, *, latex: bool = False) -> str:
    """Write down the factorisation that a graph stands for.

    Args:
        graph: a directed acyclic graph, whose joint is a product of conditionals, or an undirected graph, whose joint
            is a product of potentials over Z.
        scopes: the variables of each potential of an undirected graph; by default its maximal cliques.
        latex: write LaTeX for a formula, without dollar signs, instead of text.

    Returns:
        The formula, such as "P(M) P(S) P(I | M, S)" or "1/Z φ₁(A, B) φ₂(B, C)".

    Raises:
        ValueError: if scopes are given for a directed graph.

    Example:
        >>> graphical.factorisation(graphical.directed_graph({"M": [], "S": [], "I": ["M", "S"]}))
        'P(M) P(S) P(I | M, S)'
    """

    def listed(names: Sequence[str]) -> str:
        return ", ".join(map(_latex_name, names) if latex else names)

    if graph.is_directed():
        if scopes is not None:
            raise ValueError("a directed graph factorises into conditionals: scopes are for undirected graphs")
        bar = r" \mid " if latex else " | "
        terms = []
        for node in graph:
            parents = list(graph.predecessors(node))
            terms.append(f"P({listed([node])}{bar}{listed(parents)})" if parents else f"P({listed([node])})")
        return (r"\, " if latex else " ").join(terms)
    scopes = maximal_cliques(graph) if scopes is None else scopes
    if latex:
        return r"\, ".join([r"\frac{1}{Z}", *(rf"\phi_{{{i}}}({listed(s)})" for i, s in enumerate(scopes, 1))])
    return " ".join(["1/Z", *(f"φ{str(i).translate(_SUBSCRIPTS)}({listed(s)})" for i, s in enumerate(scopes, 1))])


def _latex_name(name: str) -> str:
    if len(name) == 1 and name.isalpha():
        return name
    escaped = "".join(f"\\{c}" if c in "_%&#${}" else c for c in name)
    return rf"\mathrm{{{escaped}}}"

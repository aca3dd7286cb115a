"""Questions on graphs, against enumeration of joint tables, against networkx, and against brute force."""

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joint_tables import ROUTES, SCOPES, STUDENT, dependence, product_table, random_joint, subsets

from jaxgen import graphical

NAMES = "ABCDEFGH"


@st.composite
def dags(draw, most=6):
    """The parents of a random directed acyclic graph."""
    n = draw(st.integers(2, most))
    order = draw(st.permutations(NAMES[:n]))
    kept = draw(st.lists(st.booleans(), min_size=n * (n - 1) // 2, max_size=n * (n - 1) // 2))
    pairs = [pair for pair, keep in zip(itertools.combinations(order, 2), kept, strict=True) if keep]
    return {name: [a for a, b in pairs if b == name] for name in NAMES[:n]}


@st.composite
def undirected(draw, most=7):
    """The edges and nodes of a random undirected graph."""
    n = draw(st.integers(2, most))
    pairs = list(itertools.combinations(NAMES[:n], 2))
    kept = draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
    return [pair for pair, keep in zip(pairs, kept, strict=True) if keep], NAMES[:n]


def cut(graph, x, y, separator):
    """Whether no path is left between x and y without some nodes."""
    return not nx.has_path(graph.subgraph(set(graph) - set(separator)), x, y)


def check_active(graph, found, observed):
    """Check a path by the definition."""
    for before, node, after in zip(found.path, found.path[1:], found.path[2:], strict=False):
        if graph.is_directed() and graph.has_edge(before, node) and graph.has_edge(after, node):
            witness = found.colliders[node]
            assert witness in observed
            assert witness == node or nx.has_path(graph, node, witness)
        else:
            assert node not in observed
            assert node not in found.colliders
    assert len(set(found.path)) == len(found.path)


# -- separation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parents", [STUDENT, ROUTES], ids=["student", "routes"])
def test_every_conditioning_set_of_the_two_networks_agrees_with_the_joint_and_with_networkx(parents):
    """Separated: independent for random tables. Not separated: dependent, as generic tables are."""
    graph = graphical.directed_graph(parents)
    generator = np.random.default_rng(0)
    joint, names = random_joint(generator, parents, states=3)
    decided = set()
    for x, y in itertools.combinations(parents, 2):
        for z in subsets(set(parents) - {x, y}):
            found = graphical.separation(graph, x, y, z)
            assert found.separated == nx.is_d_separator(graph, {x}, {y}, set(z))
            size = dependence(joint, names, x, y, z)
            assert size < 1e-15 if found.separated else size > 1e-9, (x, y, z, size)
            if found.separated:
                # every path is blocked, which blocked_paths proves one by one
                every = {tuple(path) for path in nx.all_simple_paths(graph.to_undirected(), x, y)}
                assert {blocked.path for blocked in graphical.blocked_paths(graph, x, y, z)} == every
            else:
                assert {found.path[0], found.path[-1]} == {x, y}
                check_active(graph, found, z)
            decided.add(found.separated)
    assert decided == {True, False}


def test_every_conditioning_set_of_the_markov_network_agrees_with_the_joint_and_with_networkx():
    graph = graphical.markov_graph(SCOPES)
    generator = np.random.default_rng(1)
    factors = [(scope, generator.gamma(2.0, size=(2,) * len(scope))) for scope in SCOPES]
    names = list(graph)
    joint = product_table(dict.fromkeys(names, 2), factors)
    joint /= joint.sum()
    for x, y in itertools.combinations(graph, 2):
        for z in subsets(set(graph) - {x, y}):
            found = graphical.separation(graph, x, y, z)
            assert found.separated == cut(graph, x, y, z)
            size = dependence(joint, names, x, y, z)
            assert size < 1e-15 if found.separated else size > 1e-9, (x, y, z, size)
            if not found.separated:
                check_active(graph, found, z)
                assert found.colliders == {}


@given(dags(), st.data())
def test_separation_of_sets_is_that_of_networkx(graph, data):
    graph = graphical.directed_graph(graph)
    roles = {name: data.draw(st.sampled_from("xyzo")) for name in graph}
    x, y, z = ({name for name, role in roles.items() if role == wanted} for wanted in "xyz")
    if not x or not y:
        return
    found = graphical.separation(graph, sorted(x), sorted(y), sorted(z))
    assert found.separated == nx.is_d_separator(graph, x, y, z)
    if not found.separated:
        assert found.path[0] in x
        assert found.path[-1] in y
        check_active(graph, found, z)


def test_reasons_are_readable():
    graph = graphical.directed_graph(STUDENT)
    assert graphical.separation(graph, "M", "S", "I").reason == "M → I ← S is active: the collider I is observed"
    assert graphical.separation(graph, "M", "S", "D").reason == (
        "M → I ← S is active: I is a collider with the observed descendant D"
    )
    assert graphical.separation(graph, "D", "F", "T").reason == "every path from D to F is blocked given T"
    (blocked,) = graphical.blocked_paths(graph, "D", "F", "T")
    assert blocked == (("D", "T", "F"), "T", "D ← T ← F is blocked at the observed T")
    (blocked,) = graphical.blocked_paths(graph, "M", "S")
    assert blocked.reason.endswith("at the collider I: neither it nor a descendant is observed")
    graph = graphical.markov_graph(SCOPES)
    assert graphical.separation(graph, "A", "G", "C").reason == "A – B – E – G is active"


@given(undirected())
@settings(max_examples=40)
def test_minimal_separators_are_all_there_are(graph):
    """Against a search through all sets."""
    graph = graphical.markov_graph(*graph)
    x, y = list(graph)[:2]
    rest = set(graph) - {x, y}
    wanted = set()
    if not graph.has_edge(x, y):
        for z in subsets(rest):
            if cut(graph, x, y, z) and not any(cut(graph, x, y, set(z) - {node}) for node in z):
                wanted.add(frozenset(z))
    found = graphical.minimal_separators(graph, x, y)
    assert len(found) == len(set(found))
    assert {frozenset(z) for z in found} == wanted
    assert [len(z) for z in found] == sorted(len(z) for z in found)


@given(dags())
def test_minimal_separators_of_directed_graphs_are_all_there_are(graph):
    """A set is minimal if it separates and no subset does, by networkx."""
    graph = graphical.directed_graph(graph)
    x, y = list(graph)[:2]
    separating = [set(z) for z in subsets(set(graph) - {x, y}) if nx.is_d_separator(graph, {x}, {y}, set(z))]
    wanted = {frozenset(z) for z in separating if not any(other < z for other in separating)}
    assert {frozenset(z) for z in graphical.minimal_separators(graph, x, y)} == wanted


# -- chordality --------------------------------------------------------------------------------------------------------


@given(undirected())
@settings(max_examples=60)
def test_chordless_cycles_and_triangulations(graph):
    graph = graphical.markov_graph(*graph)
    found = graphical.chordality(graph)
    assert found.chordal == nx.is_chordal(graph)
    if not found.chordal:
        cycle = graph.subgraph(found.cycle)
        assert len(found.cycle) >= 4
        assert nx.is_connected(cycle)
        assert all(degree == 2 for _, degree in cycle.degree)
        shortest = min(len(c) for c in nx.chordless_cycles(graph) if len(c) > 3)
        assert len(found.cycle) == shortest
    filled = graphical.triangulation(graph)
    assert nx.is_chordal(filled.graph)
    assert (filled.fill == []) == found.chordal
    assert {frozenset(edge) for edge in filled.graph.edges} == {frozenset(e) for e in [*graph.edges, *filled.fill]}
    assert {frozenset(c) for c in filled.cliques} == {frozenset(c) for c in nx.find_cliques(filled.graph)}
    assert filled.width == max(map(len, nx.find_cliques(filled.graph))) - 1
    assert graphical.triangulation(filled.graph, filled.order).fill == []


def test_the_order_of_a_triangulation_is_obeyed():
    """Eliminating the hub of a star first joins its leaves; eliminating it last adds nothing."""
    star = graphical.markov_graph([("H", leaf) for leaf in "ABC"])
    assert len(graphical.triangulation(star, ["H", "A", "B", "C"]).fill) == 3
    assert graphical.triangulation(star, ["A", "B", "C", "H"]).fill == []
    assert graphical.triangulation(star).width == 1


# -- conversion and maps -----------------------------------------------------------------------------------------------


@given(dags(most=5))
def test_the_moral_graph_is_that_of_networkx_and_a_minimal_i_map(graph):
    graph = graphical.directed_graph(graph)
    found = graphical.moral_graph(graph)
    assert nx.utils.graphs_equal(found.graph, nx.moral_graph(graph))
    assert graphical.i_map(found.graph, graph).holds
    for edge in found.graph.edges:
        fewer = nx.restricted_view(found.graph, [], [edge])
        assert not graphical.i_map(fewer, graph).holds
    for (one, two), children in found.marriages.items():
        assert all(graph.has_edge(one, child) and graph.has_edge(two, child) for child in children)
        assert not graph.has_edge(one, two)
    # the blanket of a node is its neighbourhood there
    for node in graph:
        assert graphical.markov_blanket(graph, node).names == set(found.graph[node])


@given(undirected(most=5))
def test_an_orientation_has_the_independencies_of_the_triangulated_graph(graph):
    graph = graphical.markov_graph(*graph)
    found = graphical.orientation(graph)
    assert nx.is_directed_acyclic_graph(found.graph)
    chordal = graphical.triangulation(graph)
    assert found.fill == chordal.fill
    assert graphical.perfect_map(found.graph, chordal.graph).holds
    assert graphical.i_map(found.graph, graph).holds
    assert graphical.perfect_map(found.graph, graph).holds == graphical.chordality(graph).chordal


@given(dags(most=5), dags(most=5), undirected(most=5))
@settings(max_examples=40)
def test_maps_are_decided_as_by_all_independencies(one, two, three):
    """The few statements that are tested decide as all of them do."""
    graphs = []
    for graph in (graphical.directed_graph(one), graphical.directed_graph(two), graphical.markov_graph(*three)):
        graph.add_nodes_from(NAMES[:5])
        graphs.append(graph)
    asserted = [
        {(frozenset((i.x, i.y)), i.given) for i in graphical.independencies(graph)} for graph in graphs
    ]  # fmt: skip
    for (of, has), (candidate, claims) in itertools.permutations(zip(graphs, asserted, strict=True), 2):
        found = graphical.i_map(candidate, of)
        assert found.holds == (claims <= has)
        if not found.holds:
            i = found.counterexample
            assert (frozenset((i.x, i.y)), i.given) in claims - has
        perfect = graphical.perfect_map(candidate, of)
        assert perfect.holds == (claims == has)
        assert (perfect.lost is None) == (has <= claims)
        assert (perfect.unfounded is None) == (claims <= has)


def test_factorisations_in_words_and_in_latex():
    graph = graphical.directed_graph({"rain_today": [], "wet": ["rain_today"]})
    assert graphical.factorisation(graph) == "P(rain_today) P(wet | rain_today)"
    assert graphical.factorisation(graph, latex=True) == (
        r"P(\mathrm{rain\_today})\, P(\mathrm{wet} \mid \mathrm{rain\_today})"
    )
    graph = graphical.markov_graph(SCOPES)
    assert (
        graphical.factorisation(graph, SCOPES) == "1/Z φ₁(A, B, C) φ₂(B, C, D) φ₃(C, D, F) φ₄(F, E) φ₅(B, E) φ₆(E, G)"
    )
    assert graphical.factorisation(graphical.markov_graph(["AB", "BC", "CA"])) == "1/Z φ₁(A, B, C)"
    assert graphical.factorisation(graph, ["AB"], latex=True) == r"\frac{1}{Z}\, \phi_{1}(A, B)"


# -- refusals ----------------------------------------------------------------------------------------------------------

TRIANGLE = graphical.markov_graph(["AB", "BC", "CA"])
CHAIN = graphical.directed_graph({"B": ["A"], "C": ["B"]})


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: graphical.directed_graph({"A": ["C"], "B": ["A"], "C": ["B"]}),
            "this graph has (A → B → C → A|C → A)",
        ),
        (lambda: graphical.directed_graph({"A": ["A"]}), "this graph has A → A: remove one of these edges"),
        (lambda: graphical.directed_graph({"A": "BC"}), r"the parents of 'A' are the text 'BC'"),
        (lambda: graphical.directed_graph({"A": ["B", "B"]}), "name one node twice"),
        (lambda: graphical.separation(CHAIN, "A", "Q"), "unknown variable 'Q': there are B, C, A"),
        (lambda: graphical.separation(CHAIN, "A", "A"), "x and y must not overlap, both name A"),
        (lambda: graphical.separation(CHAIN, "A", "C", ["C"]), "y and given must not overlap"),
        (lambda: graphical.separation(CHAIN, [], "C"), "must name at least one variable each"),
        (lambda: graphical.minimal_separators(CHAIN, "A", "A"), "cannot be separated from itself"),
        (lambda: graphical.markov_blanket(TRIANGLE, "A"), "a question on directed graphs"),
        (lambda: graphical.chordality(CHAIN), "a question on undirected graphs"),
        (lambda: graphical.triangulation(TRIANGLE, ["A", "B"]), "the order must name each of A, B, C once, got A, B"),
        (lambda: graphical.i_map(TRIANGLE, graphical.markov_graph(["AB"])), "the graphs have different nodes"),
        (lambda: graphical.independencies(graphical.markov_graph(["ABCDEFGHIJKLM"])), "pass max_nodes=13"),
        (lambda: graphical.factorisation(CHAIN, ["AB"]), "scopes are for undirected graphs"),
        (lambda: graphical.separation(nx.DiGraph([("A", "B"), ("B", "A")]), "A", "B"), "this graph has A → B → A"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()

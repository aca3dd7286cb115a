"""Claims of S4 on graphical models: each is decided on the graph and on joint tables by enumeration."""

import itertools

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from joint_tables import ROUTES, SCOPES, STUDENT, dependence, marginal_table, product_table, random_joint, subsets

from jaxgen import graphical

# the conditioning sets that separate each pair of the first network, as the exercise has them
SEPARATED = {
    ("M", "S"): lambda z: not z & {"I", "D"},
    ("D", "M"): lambda z: "I" in z,
    ("D", "S"): lambda z: "I" in z,
    ("D", "F"): lambda z: "T" in z,
    ("I", "T"): lambda z: "D" not in z,
    ("F", "I"): lambda z: "D" not in z or "T" in z,
    ("M", "T"): lambda z: "D" not in z or "I" in z,
    ("S", "T"): lambda z: "D" not in z or "I" in z,
    ("F", "M"): lambda z: "D" not in z or "I" in z or "T" in z,
    ("F", "S"): lambda z: "D" not in z or "I" in z or "T" in z,
}


def potentials(seed=0):
    generator = np.random.default_rng(seed)
    return {scope: generator.gamma(2.0, size=(2,) * len(scope)) for scope in SCOPES}


def test_c4_1_the_joint_is_the_product_of_the_conditionals():
    """The factorisation in words, and its product against the library's probabilities of every assignment."""
    graph = graphical.directed_graph(STUDENT)
    assert graphical.factorisation(graph) == "P(M) P(S) P(F) P(I | M, S) P(T | F) P(D | I, T)"
    network = graphical.random_bayesian_network(jax.random.key(0), dict.fromkeys(STUDENT, 2), STUDENT)
    joint = product_table(
        dict.fromkeys(STUDENT, 2), [((*of, name), network.tables[name]) for name, of in STUDENT.items()]
    )
    states = dict(zip(STUDENT, np.indices((2,) * 6).reshape(6, -1), strict=True))
    found = graphical.log_probability(graphical.to_factor_graph(network), states)
    np.testing.assert_allclose(np.exp(found), joint.ravel(), rtol=1e-4)
    np.testing.assert_allclose(joint.sum(), 1, rtol=1e-6)


@pytest.mark.parametrize("pair", list(itertools.combinations(STUDENT, 2)), ids="".join)
def test_c4_1_its_d_separations(pair):
    """For every conditioning set: the rule, the search, and (in)dependence of random tables."""
    x, y = pair
    graph = graphical.directed_graph(STUDENT)
    joint, names = random_joint(np.random.default_rng(1), STUDENT, states=3)
    rule = SEPARATED.get(pair) or SEPARATED.get(pair[::-1]) or (lambda z: False)  # neighbours are never separated
    for given in subsets(set(STUDENT) - {x, y}):
        found = graphical.separation(graph, x, y, given).separated
        assert found == rule(set(given))
        size = dependence(joint, names, x, y, given)
        assert size < 1e-15 if found else size > 1e-9


def test_c4_2_the_markov_blanket_of_t():
    """{O, A, M, B} separates T from the rest, and no smaller set does."""
    graph = graphical.directed_graph(ROUTES)
    blanket = graphical.markov_blanket(graph, "T")
    assert blanket == (("O", "A"), ("M",), ("B",))
    assert blanket.names == {"O", "A", "M", "B"}
    joint, names = random_joint(np.random.default_rng(2), ROUTES)
    enough = set()
    for given in subsets(set(ROUTES) - {"T"}):
        rest = set(ROUTES) - {"T", *given}
        if all(dependence(joint, names, "T", other, [*given, *(rest - {other})]) < 1e-15 for other in rest):
            enough.add(frozenset(given))
    assert min(enough, key=len) == blanket.names
    assert all(blanket.names <= given for given in enough)


def test_c4_3_the_moral_graph_loses_an_independence_of_a_and_o():
    """A ⊥ O in the directed graph and in random tables; they are neighbours in the moral graph."""
    graph = graphical.directed_graph(ROUTES)
    moral = graphical.moral_graph(graph)
    assert set(map(frozenset, moral.marriages)) == {frozenset("AB"), frozenset("AO"), frozenset("BT")}
    assert graphical.separation(graph, "A", "O").separated
    assert moral.graph.has_edge("A", "O")
    joint, names = random_joint(np.random.default_rng(3), ROUTES)
    assert dependence(joint, names, "A", "O", ()) < 1e-15
    lost = graphical.perfect_map(moral.graph, graph)
    assert not lost.holds
    assert lost.unfounded is None
    assert str(lost.lost) == "O ⊥ A"


def test_c4_3_how_many_independencies_are_lost():
    """Of the 44 pairwise ones among the six variables without C the moral graph keeps 18."""
    graph = graphical.directed_graph({name: of for name, of in ROUTES.items() if name != "C"})
    held = {(frozenset((i.x, i.y)), i.given) for i in graphical.independencies(graph)}
    kept = {(frozenset((i.x, i.y)), i.given) for i in graphical.independencies(graphical.moral_graph(graph).graph)}
    assert kept < held
    assert (len(held), len(held - kept)) == (44, 26)
    assert (frozenset("AO"), frozenset()) in held - kept


def test_c4_3_the_chordless_cycle():
    """S, O, T, B is a cycle of the moral graph without a chord, and the edge B–O makes the graph chordal."""
    moral = graphical.moral_graph(graphical.directed_graph(ROUTES)).graph
    found = graphical.chordality(moral)
    assert not found.chordal
    assert set(found.cycle) == set("SOTB")
    assert set(map(frozenset, moral.subgraph("SOTB").edges)) == set(map(frozenset, ("SO", "OT", "TB", "BS")))
    filled = graphical.triangulation(moral)
    assert list(map(frozenset, filled.fill)) == [frozenset("BO")]
    moral.add_edge("B", "O")
    assert nx.is_chordal(moral)
    assert graphical.chordality(moral).chordal


def test_c4_4_conditionals_become_potentials():
    """The product of the tables is the Markov network of the moral graph, with Z = 1."""
    network = graphical.random_bayesian_network(jax.random.key(4), dict.fromkeys(ROUTES, 2), ROUTES)
    graph = graphical.to_factor_graph(network)
    assert set(map(frozenset, graph.scopes)) == {frozenset((*of, name)) for name, of in ROUTES.items()}
    assert nx.utils.graphs_equal(graph.graph, graphical.moral_graph(network.graph).graph)
    np.testing.assert_allclose(graphical.log_partition(graph), 0, atol=1e-5)


def test_c4_4_c_can_be_marginalised():
    """Summing C out of φ₁φ₂φ₃ leaves τ(A, B, D, F), and the distribution of all other variables."""
    tables = potentials(5)
    graph = graphical.markov_network(dict.fromkeys("ABCDEFG", 2), tables)
    left = graphical.marginalise(graph, "C")
    assert set(left.scopes) == {("A", "B", "D", "F"), *SCOPES[3:]}
    tau = np.einsum("abc,bcd,cdf->abdf", *(tables[scope] for scope in SCOPES[:3]))
    np.testing.assert_allclose(np.exp(left.log_potentials[left.scopes.index(tuple("ABDF"))]), tau, rtol=1e-5)
    assert {frozenset(edge) for edge in left.graph.edges} - {frozenset(edge) for edge in graph.graph.edges} == {
        frozenset(pair) for pair in ("AD", "AF", "BF")
    }
    joint = product_table(dict.fromkeys("ABCDEFG", 2), tables.items())
    np.testing.assert_allclose(graphical.log_partition(left), np.log(joint.sum()), rtol=1e-5)
    for name, found in graphical.marginals(left).items():
        np.testing.assert_allclose(found, marginal_table(joint, list("ABCDEFG"), (name,)) / joint.sum(), rtol=1e-4)


def test_c4_4_z_can_be_absorbed():
    """A potential over Z, and the conditionals of a triangulated graph: both have Z = 1 and the same distribution."""
    tables = potentials(6)
    graph = graphical.markov_network(dict.fromkeys("ABCDEFG", 2), tables)
    joint = product_table(dict.fromkeys("ABCDEFG", 2), tables.items())
    first, *others = graph.log_potentials
    absorbed = graph.replace(log_potentials=(first - graphical.log_partition(graph), *others))
    np.testing.assert_allclose(graphical.log_partition(absorbed), 0, atol=1e-5)
    network = graphical.to_bayesian_network(graph)
    again = product_table(
        dict.fromkeys(network.names, 2), [((*of, name), network.tables[name]) for name, of in network.parents.items()]
    )
    order = [network.names.index(name) for name in "ABCDEFG"]
    np.testing.assert_allclose(np.transpose(again, order), joint / joint.sum(), rtol=1e-3, atol=1e-8)


def test_c4_5_the_separation_statements():
    """All minimal separators of every pair without an edge, and independence of random tables given each of them."""
    graph = graphical.markov_graph(SCOPES)
    wanted = {
        "AD": ["BC"], "AE": ["BC", "BF"], "AF": ["BC", "CDE"], "AG": ["E", "BC", "BF"], "BF": ["CDE"], "BG": ["E"],
        "FG": ["E"], "CE": ["BF"], "DE": ["BF"], "CG": ["E", "BF"], "DG": ["E", "BF"],
    }  # fmt: skip
    assert {frozenset(pair) for pair in wanted} == {frozenset(pair) for pair in nx.non_edges(graph)}
    tables = potentials(7)
    joint = product_table(dict.fromkeys("ABCDEFG", 2), tables.items())
    joint /= joint.sum()
    for (x, y), separators in wanted.items():
        assert {frozenset(z) for z in graphical.minimal_separators(graph, x, y)} == set(map(frozenset, separators))
        for z in separators:
            assert dependence(joint, list("ABCDEFG"), x, y, z) < 1e-15
            for node in z:
                assert dependence(joint, list("ABCDEFG"), x, y, z.replace(node, "")) > 1e-9


def test_c4_5_scaling_a_potential_by_5_scales_z_by_5_and_nothing_else():
    tables = potentials(8)
    states = dict.fromkeys("ABCDEFG", 2)
    graph = graphical.markov_network(states, tables)
    joint = product_table(states, tables.items())
    np.testing.assert_allclose(graphical.log_partition(graph), np.log(joint.sum()), rtol=1e-5)
    for scope in SCOPES:
        scaled = graphical.markov_network(states, tables | {scope: 5 * tables[scope]})
        ratio = graphical.log_partition(scaled) - graphical.log_partition(graph)
        np.testing.assert_allclose(ratio, np.log(5), rtol=1e-4)
        for found, table in zip(graphical.factor_marginals(scaled), graphical.factor_marginals(graph), strict=True):
            np.testing.assert_allclose(found, table, rtol=1e-4, atol=1e-7)
    every = dict(zip(states, np.indices((2,) * 7).reshape(7, -1), strict=True))
    np.testing.assert_allclose(
        np.exp(graphical.log_probability(scaled, every)), joint.ravel() / joint.sum(), rtol=1e-3, atol=1e-9
    )
    assert jnp.isfinite(graphical.log_partition(scaled))

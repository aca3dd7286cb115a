"""Exact inference against enumeration of every assignment."""

import itertools
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joint_tables import SCOPES, STUDENT, log_table, marginal_table, product_table
from oracles import nightly
from scipy import stats

from jaxgen import graphical


@pytest.fixture(scope="module", autouse=True)
def compiled_lightly(daily):
    """Hundreds of graphs compile far longer than they compute, in slow runs too."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", daily)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@dataclass
class Case:
    """A random factor graph, evidence on it, and a variable or two to ask for."""

    sizes: dict
    factors: list
    evidence: dict
    asked: tuple

    def graph(self):
        return graphical.factor_graph(self.sizes, self.factors)


STRUCTURES = 100


def structure(seed):
    """Random variables of 1 to 3 states, scopes of 0 to 3 of them, and the names in evidence and question."""
    generator = np.random.default_rng(seed)
    names = [chr(65 + i) for i in range(generator.integers(1, 7))]
    sizes = {name: int(generator.choice((2, 2, 3, 1))) for name in names}

    def some(*numbers):
        return tuple(generator.permutation(names)[: generator.choice(numbers)].tolist())

    return sizes, [some(0, 1, 2, 2, 2, 3) for _ in range(generator.integers(0, 8))], some(0, 1, 2), some(1, 2)


@st.composite
def cases(draw):
    """One of 100 structures, since each compiles anew, with potentials, zeros among them, and states observed."""
    sizes, scopes, observed, asked = structure(draw(st.integers(0, STRUCTURES - 1)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale, zeros = draw(st.sampled_from((1.0, 1.0, 5.0, 300.0))), draw(st.sampled_from((0.0, 0.0, 0.1, 0.4)))
    factors = []
    for scope in scopes:
        table = scale * generator.normal(size=tuple(sizes[name] for name in scope))
        factors.append((scope, np.where(generator.random(table.shape) < zeros, -np.inf, table)))
    return Case(sizes, factors, {name: int(generator.integers(sizes[name])) for name in observed}, asked)


def test_the_structures_are_of_all_kinds():
    """Isolated variables and those of one state, several parts, cycles, constants, two factors on the same scope."""
    kinds = {"isolated": 0, "one state": 0, "parts": 0, "cycle": 0, "constant": 0, "twice": 0}
    seen = set()
    for seed in range(STRUCTURES):
        sizes, scopes, *_ = structure(seed)
        graph = graphical.markov_graph(scopes, sizes)
        kinds["isolated"] += any(not graph[name] for name in graph)
        kinds["one state"] += 1 in sizes.values()
        kinds["parts"] += sum(len(part) > 1 for part in nx.connected_components(graph)) > 1  # beside isolated ones
        kinds["cycle"] += not nx.is_forest(graph)
        kinds["constant"] += () in scopes
        kinds["twice"] += len(set(map(frozenset, scopes))) < len(scopes)
        seen.add((tuple(sizes.values()), tuple(scopes)))
    assert min(kinds.values()) >= 4, kinds
    assert len(seen) > 0.9 * STRUCTURES


def enumerate_log(case):
    """The log-weights of all assignments that agree with the evidence."""
    masks = []
    for name, state in case.evidence.items():
        mask = np.full(case.sizes[name], -np.inf)
        mask[state] = 0
        masks.append(((name,), mask))
    return log_table(case.sizes, [*case.factors, *masks])


class Answers(NamedTuple):
    """What the library says of a case."""

    log_z: jax.Array
    gradient: graphical.FactorGraph
    marginals: dict
    conditional: jax.Array
    covariances: dict
    best: graphical.MostProbable
    reduced: graphical.FactorGraph
    reduced_log_z: jax.Array
    drawn: dict


@partial(jax.jit, static_argnames="asked")
def answers(graph, evidence, asked):
    """All questions in one compiled function, because compiling takes longer than anything else here."""
    log_z, gradient = jax.value_and_grad(graphical.log_partition)(graph, evidence)
    reduced = graphical.marginalise(graph, asked)
    return Answers(
        log_z,
        gradient,
        graphical.marginals(graph, evidence),
        graphical.marginal(graph, asked, evidence),
        graphical.covariances(graph, evidence),
        graphical.most_probable(graph, evidence),
        reduced,
        graphical.log_partition(reduced),
        graphical.sample(jax.random.key(0), graph, 20, evidence),
    )


def agrees_with_enumeration(case):
    """log Z, marginals, covariances, the most probable assignment, conditionals, samples, gradients."""
    graph, names, close = case.graph(), list(case.sizes), {"rtol": 1e-6, "atol": 1e-6}
    found = jax.device_get(answers(graph, case.evidence, case.asked))
    weights, everything = enumerate_log(case), log_table(case.sizes, case.factors)
    top = weights.max()

    assert list(found.reduced.names) == [name for name in names if name not in case.asked]
    assert all(set(scope).isdisjoint(case.asked) for scope in found.reduced.scopes)
    np.testing.assert_allclose(found.reduced_log_z, np.logaddexp.reduce(everything.ravel()), **close)
    assert all(np.isfinite(table).all() for table in found.gradient.log_potentials)
    if top == -np.inf:
        assert found.log_z == found.best.log_weight == -np.inf
        zeros = found.gradient, found.marginals, found.conditional, found.covariances
        assert all((table == 0).all() for table in jax.tree.leaves(zeros))
        with pytest.raises(ValueError, match=r"has probability zero|Z is zero"):
            graphical.marginals(graph, case.evidence)
        return
    joint = np.exp(weights - top)
    np.testing.assert_allclose(found.log_z, top + np.log(joint.sum()), **close)
    joint /= joint.sum()

    for (scope, _), table in zip(case.factors, found.gradient.log_potentials, strict=True):
        np.testing.assert_allclose(table, marginal_table(joint, names, scope), **close)
    assert list(found.marginals) == names
    for name, table in found.marginals.items():
        np.testing.assert_allclose(table, marginal_table(joint, names, (name,)), **close)
    np.testing.assert_allclose(found.conditional, marginal_table(joint, names, case.asked), **close)
    for one, two in itertools.product(names, repeat=2):
        first, second = (marginal_table(joint, names, (name,)) for name in (one, two))
        both = np.diag(first) if one == two else marginal_table(joint, names, (one, two))
        np.testing.assert_allclose(found.covariances[one][two], both - np.outer(first, second), **close)
    np.testing.assert_allclose(found.best.log_weight, top, **close)
    np.testing.assert_allclose(weights[tuple(found.best.states[name] for name in names)], top, **close)
    assert (joint[tuple(found.drawn[name] for name in names)] > 0).all()


@given(cases())
@settings(max_examples=4)
def test_random_graphs_agree_with_enumeration(case):
    agrees_with_enumeration(case)


@pytest.mark.slow
@given(cases())
@settings(max_examples=250)
def test_many_random_graphs_agree_with_enumeration(case):
    agrees_with_enumeration(case)


def chained(names, scopes, states=2, zeros=0.15):
    """A random factor on each of the scopes and on each variable."""
    generator = np.random.default_rng(len(names))
    sizes = dict.fromkeys(names, states)
    factors = []
    for scope in [*scopes, *((name,) for name in names)]:
        table = generator.normal(size=(states,) * len(scope))
        factors.append((tuple(scope), np.where(generator.random(table.shape) < zeros, -np.inf, table)))
    return Case(sizes, factors, {names[2]: 1}, (names[-1], names[0]))


# variables that are eliminated alike are one loop of the compiled program, each after the other or side by side
ALIKE = {
    "chain": chained("ABCDEFGH", [("AB"), ("BC"), ("CD"), ("DE"), ("EF"), ("FG"), ("GH")]),
    "turned": chained("ABCDEFGH", [("AB"), ("CB"), ("CD"), ("ED"), ("EF"), ("FG"), ("GH")]),
    "wide chain": chained("ABCDEFGH", [("ABC"), ("BCD"), ("CDE"), ("DEF"), ("EFG"), ("FGH")]),
    "star": chained("ABCDEFGH", ["H" + leaf for leaf in "ABCDEFG"]),
    "hidden chain": chained("ABCDEVWXYZ", ["AB", "BC", "CD", "DE", "AV", "BW", "CX", "DY", "EZ"]),
}


@nightly("case", ALIKE.values(), ids=ALIKE.keys())
def test_variables_that_are_eliminated_alike_agree_with_enumeration(case):
    agrees_with_enumeration(case)


def chain(n, states=2):
    """A chain of n variables with random potentials (n − 1, states, states)."""
    tables = np.random.default_rng(n).normal(size=(n - 1, states, states))
    pairs = list(itertools.pairwise(f"x{i}" for i in range(n)))
    return graphical.factor_graph({f"x{i}": states for i in range(n)}, list(zip(pairs, tables, strict=True))), tables


def test_the_program_of_a_chain_does_not_grow_with_its_length():
    for ask in (graphical.log_partition, graphical.marginals, lambda graph: graphical.most_probable(graph).states["x0"],
                lambda graph: graphical.sample(jax.random.key(0), graph, 3)["x0"]):  # fmt: skip
        short, long = (str(jax.make_jaxpr(ask)(chain(n)[0])) for n in (10, 30))
        for work in (" exp ", " log ", " argmax", " reduce_max"):
            assert short.count(work) == long.count(work), work


@pytest.mark.slow
def test_a_chain_of_200_agrees_with_products_of_matrices():
    """Forward and backward messages in NumPy, scaled at each step; the pairs' frequencies in exact samples."""
    graph, tables = chain(200)
    weights = np.exp(tables)
    forward, backward, log_z = [np.full(2, 0.5)], [np.full(2, 0.5)], np.log(2)
    for matrix in weights:
        ahead = forward[-1] @ matrix
        forward.append(ahead / ahead.sum())
        log_z += np.log(ahead.sum())
    for matrix in weights[::-1]:
        back = matrix @ backward[-1]
        backward.append(back / back.sum())
    pairs = np.stack(forward[:-1])[:, :, None] * weights * np.stack(backward[-2::-1])[:, None]
    pairs /= pairs.sum((1, 2), keepdims=True)
    np.testing.assert_allclose(graphical.log_partition(graph), log_z, rtol=1e-12)
    np.testing.assert_allclose(np.stack(graphical.factor_marginals(graph)), pairs, rtol=1e-9)
    drawn = graphical.sample(jax.random.key(7), graph, 2000)
    drawn = np.stack([drawn[name] for name in graph.names])
    counts = np.stack([np.bincount(2 * a + b, minlength=4) for a, b in itertools.pairwise(drawn)]).reshape(-1, 2, 2)
    errors = (counts / 2000 - pairs) / np.sqrt(pairs * (1 - pairs) / 2000)
    assert np.abs(errors).max() < 4.5  # 4 for one of them; of 796 the largest is above 4.5 once in 200
    assert abs(np.square(errors).mean() - 1) < 0.25


@pytest.mark.parametrize("ask", [graphical.marginals, graphical.factor_marginals, graphical.most_probable,
                                 graphical.covariances, lambda *of: graphical.marginal(of[0], "A", of[1]),
                                 lambda *of: graphical.sample(jax.random.key(0), of[0], 3, of[1])])  # fmt: skip
def test_questions_without_an_answer_are_refused(ask):
    """Evidence that no assignment agrees with, and potentials that forbid every assignment."""
    graph = graphical.markov_network({"A": 2, "B": 2}, {("A", "B"): [[1.0, 0.0], [1.0, 0.0]]})
    with pytest.raises(ValueError, match="the evidence B = 1 has probability zero"):
        ask(graph, {"B": 1})
    with pytest.raises(ValueError, match="Z is zero"):
        ask(graph.replace(log_potentials=(jnp.full((2, 2), -jnp.inf),)), None)


# -- robustness --------------------------------------------------------------------------------------------------------


def test_huge_and_forbidden_potentials_leave_values_and_gradients_finite():
    """In float32, with maxima at different states: a shift of each factor by its own maximum would underflow."""
    with jax.enable_x64(False):
        huge = 1e30
        graph = graphical.factor_graph(
            {"A": 2, "B": 2, "C": 2},
            {
                ("A", "B"): jnp.array([[0.0, 1e4], [-jnp.inf, -1e4]]),
                ("B", "C"): jnp.array([[1e4, -jnp.inf], [0.0, 3.0]]),
                "C": jnp.array([huge, huge]),
            },
        )
        log_z, gradient = jax.value_and_grad(graphical.log_partition)(graph)
        np.testing.assert_allclose(log_z, huge, rtol=1e-6)
        for table in gradient.log_potentials:
            assert np.isfinite(table).all()
            np.testing.assert_allclose(table.sum(), 1, rtol=1e-5)
        hessian = jax.tree.leaves(jax.hessian(graphical.log_partition)(graph))
        assert all(np.isfinite(table).all() for table in hessian)
        assert gradient.log_potentials[0][1, 0] == 0

        # maxima that disagree by 2e4 nats: the answer is the log-sum of two products of 1e4
        two = graphical.factor_graph(
            {"A": 2}, [("A", jnp.array([1e4, -1e4])), ("A", jnp.array([-1e4, 1e4])), ("A", jnp.array([0.0, 0.0]))]
        )
        np.testing.assert_allclose(graphical.log_partition(two), np.log(2), rtol=1e-6)
        np.testing.assert_allclose(graphical.marginals(two)["A"], [0.5, 0.5], rtol=1e-6)


def test_rows_without_a_possible_state_have_zero_gradients():
    """B = 1 forbids every state of A: that row of the bucket is −inf throughout."""
    table = jnp.array([[0.3, -jnp.inf], [0.7, -jnp.inf]])
    graph = graphical.factor_graph({"A": 2, "B": 2}, {("A", "B"): table, "B": jnp.zeros(2)})
    gradient = jax.grad(graphical.log_partition)(graph).log_potentials
    np.testing.assert_allclose(gradient[0], [[1 / (1 + np.exp(0.4)), 0], [1 / (1 + np.exp(-0.4)), 0]], rtol=1e-12)
    np.testing.assert_allclose(gradient[1], [1, 0])
    hessian = jax.hessian(lambda t: graphical.log_partition(graph.replace(log_potentials=(t, jnp.zeros(2)))))(table)
    assert np.isfinite(hessian).all()
    # zeros in a table of potentials
    of = lambda potential: graphical.log_partition(graphical.markov_network({"A": 2}, {"A": potential}))
    np.testing.assert_allclose(jax.grad(of)(jnp.array([0.0, 2.0])), [0, 0.5])


# -- transformations ---------------------------------------------------------------------------------------------------


def loops(key, n, dtype=jnp.float64):
    """n graphs of one structure with random potentials: the report's Markov network."""
    tables = {scope: jax.random.normal(jax.random.fold_in(key, i), (n,) + (2,) * len(scope), dtype)
              for i, scope in enumerate(SCOPES)}  # fmt: skip
    return [graphical.factor_graph(dict.fromkeys("ABCDEFG", 2), {s: t[i] for s, t in tables.items()}) for i in range(n)]


def test_graphs_are_batched_compiled_and_differentiated():
    graphs = loops(jax.random.key(0), 3)
    stacked = jax.tree.map(lambda *tables: jnp.stack(tables), *graphs)
    together = jax.jit(jax.vmap(graphical.log_partition))(stacked)
    np.testing.assert_allclose(together, [graphical.log_partition(graph) for graph in graphs], rtol=1e-12)
    found = jax.vmap(graphical.marginals)(stacked)
    np.testing.assert_allclose(found["D"][1], graphical.marginals(graphs[1])["D"], rtol=1e-12)
    # evidence can be traced
    states = jnp.arange(2)
    log_z = jax.vmap(lambda state: graphical.log_partition(graphs[0], {"C": state}))(states)
    np.testing.assert_allclose(np.logaddexp.reduce(log_z), together[0], rtol=1e-12)
    assert jax.jit(graphical.sample, static_argnums=2)(jax.random.key(0), graphs[0], 5)["A"].shape == (5,)


def test_nothing_is_traced_twice():
    graph, calls = loops(jax.random.key(1), 1)[0], []

    @jax.jit
    def log_z(graph):
        calls.append(1)
        return graphical.log_partition(graph)

    log_z(graph)
    log_z(graph.replace(log_potentials=tuple(2 * table for table in graph.log_potentials)))
    assert len(calls) == 1
    from jaxgen.graphical import inference

    graphical.marginals(graph)
    before = inference._marginals._cache_size()
    graphical.marginals(graph, {"A": 1})
    graphical.marginals(graph, {"B": 0})
    assert inference._marginals._cache_size() == before


def test_any_order_gives_the_same():
    graph = loops(jax.random.key(2), 1)[0]
    wanted = graphical.log_partition(graph)
    for order in (list("ABCDEFG"), list("GFEDCBA")):
        chosen = graphical.elimination_order(graph, order)
        np.testing.assert_allclose(graphical.log_partition(graph, order=chosen), wanted, rtol=1e-12)
    assert graphical.elimination_order(graph).width == 3
    assert graphical.elimination_order(graph).entries == 16
    kept = graphical.elimination_order(graph, keep=["A", "G"])
    assert set(kept.names) == set("BCDEF")
    np.testing.assert_allclose(
        graphical.marginal(graph, ["G", "A"], order=kept), graphical.marginal(graph, ["A", "G"]).T, rtol=1e-12
    )


def grid(rows, columns):
    """A grid with random potentials."""
    names = [[f"{i},{j}" for j in range(columns)] for i in range(rows)]
    pairs = [*((a, b) for row in names for a, b in itertools.pairwise(row)),
             *((a, b) for one, two in itertools.pairwise(names) for a, b in zip(one, two, strict=True))]  # fmt: skip
    tables = np.random.default_rng(0).normal(size=(len(pairs), 2, 2))
    return graphical.factor_graph({name: 2 for row in names for name in row}, dict(zip(pairs, tables, strict=True)))


def test_a_grid_is_eliminated_by_rows_where_that_is_less_work():
    """The treewidth of an n × n grid is n. The greedy order is wider, and still has fewer entries in small grids."""
    for side, rows in ((10, False), (16, True)):
        graph = grid(side, side)
        greedy, named = (
            graphical.elimination_order(graph, order)
            for order in (graphical.triangulation(graph.graph).order, graph.names)
        )
        total = [sum(2 ** len(clique) for clique in order.cliques) for order in (greedy, named)]
        assert named.width == side < greedy.width
        assert (total[1] < total[0]) == rows
        assert (graphical.elimination_order(graph).width == side) == rows
    few = graphical.elimination_order(grid(10, 10), max_entries=2**11)  # too few for the greedy order
    assert few.names == grid(10, 10).names
    graph = grid(3, 6)
    order = graphical.elimination_order(graph, graph.names)
    table = log_table(dict.fromkeys(graph.names, 2), zip(graph.scopes, graph.log_potentials, strict=True))
    np.testing.assert_allclose(
        graphical.log_partition(graph, order=order), np.logaddexp.reduce(table.ravel()), rtol=1e-12
    )


def test_float32_is_float32():
    with jax.enable_x64(False):
        graph = loops(jax.random.key(3), 1, jnp.float32)[0]
        exact = np.logaddexp.reduce(
            log_table(dict.fromkeys("ABCDEFG", 2), zip(graph.scopes, graph.log_potentials, strict=True)).ravel()
        )
        found = graphical.log_partition(graph)
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, exact, rtol=2e-6)


# -- evidence, samples, probabilities ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def student():
    with jax.enable_x64(True):
        states = {"M": ["low", "high"], "S": 3, "F": 2, "I": 2, "T": 3, "D": ["no", "yes"]}
        return graphical.random_bayesian_network(jax.random.key(4), states, STUDENT)


def joint_of(network):
    sizes = dict(zip(network.names, network.structure.domain.sizes, strict=True))
    return product_table(sizes, [((*of, name), network.tables[name]) for name, of in network.parents.items()])


def test_evidence_by_index_by_label_and_by_mask(student):
    graph, joint, names = graphical.to_factor_graph(student), joint_of(student), list(student.names)
    np.testing.assert_allclose(graphical.log_partition(graph), 0, atol=1e-6)
    np.testing.assert_allclose(graphical.log_partition(graph, {"D": "yes"}), np.log(joint[..., 1].sum()), rtol=1e-6)
    np.testing.assert_allclose(graphical.log_partition(graph, {"D": 1}), np.log(joint[..., 1].sum()), rtol=1e-6)
    some = np.array([True, False, True])
    part = joint[:, some][..., 1]
    found = graphical.marginals(graph, {"D": "yes", "S": some})
    np.testing.assert_allclose(found["S"][some], marginal_table(part, names[:-1], ("S",)) / part.sum(), rtol=1e-5)
    assert found["S"][1] == 0


def test_sampled_frequencies_are_probabilities(student):
    """Every joint probability of three variables given evidence, within 4 standard errors; χ² of them all."""
    graph, joint, names, n = graphical.to_factor_graph(student), joint_of(student), list(student.names), 40_000
    drawn = graphical.sample(jax.random.key(5), graph, n, {"D": 1})
    assert (np.asarray(drawn["D"]) == 1).all()
    exact = marginal_table(joint[..., 1] / joint[..., 1].sum(), names[:-1], ("M", "S", "T")).ravel()
    place = np.ravel_multi_index([np.asarray(drawn[name]) for name in ("M", "S", "T")], (2, 3, 3))
    counts = np.bincount(place, minlength=18)
    errors = np.sqrt(exact * (1 - exact) / n)
    assert (np.abs(counts / n - exact) < 4 * errors).all()
    assert stats.chisquare(counts, n * exact / exact.sum()).pvalue > 1e-3
    again = graphical.sample(jax.random.key(5), graph, 7, {"D": 1})
    np.testing.assert_array_equal(again["S"], drawn["S"][:7])


def test_rare_states_are_sampled_as_often_as_they_should(student):
    """A probability below the 2⁻²³ of a float32 uniform number is still drawn from conditional on others being out."""
    with jax.enable_x64(False):
        graph = graphical.factor_graph({"A": 3}, {"A": jnp.array([0.0, -18.0, -18.0])})
        drawn = np.asarray(graphical.sample(jax.random.key(0), graph, 4000, {"A": jnp.array([False, True, True])})["A"])
        assert abs((drawn == 1).mean() - 0.5) < 4 * 0.5 / np.sqrt(4000)


def test_the_probability_of_assignments(student):
    graph, joint = graphical.to_factor_graph(student), joint_of(student)
    drawn = graphical.sample(jax.random.key(6), graph, 50)
    index = tuple(np.asarray(drawn[name]) for name in student.names)
    np.testing.assert_allclose(graphical.log_probability(graph, drawn), np.log(joint[index]), rtol=1e-5)
    np.testing.assert_allclose(graphical.log_weight(graph, drawn), np.log(joint[index]), rtol=1e-5)
    some = {"S": drawn["S"][:4], "T": drawn["T"][:4]}
    exact = np.log(joint.sum((0, 2, 3, 5))[index[1][:4], index[4][:4]])
    np.testing.assert_allclose(graphical.log_probability(graph, some), exact, rtol=1e-5)
    assert graphical.log_probability(graph, {}) == 0
    one = graphical.log_probability(graph, {"S": 2})
    np.testing.assert_allclose(one, np.log(joint.sum((0, 2, 3, 4, 5))[2]), rtol=1e-5)


def test_networks_convert_both_ways_and_keep_the_distribution(student):
    graph, joint = graphical.to_factor_graph(student), joint_of(student)
    back = graphical.to_bayesian_network(graph)
    np.testing.assert_allclose(
        np.transpose(joint_of(back), [back.names.index(name) for name in student.names]), joint, rtol=1e-5, atol=1e-9
    )
    cycle = loops(jax.random.key(7), 1)[0]
    network = graphical.to_bayesian_network(cycle)
    assert all(network.graph.has_edge(a, b) or network.graph.has_edge(b, a) for a, b in cycle.graph.edges)
    sizes = dict.fromkeys("ABCDEFG", 2)
    weights = log_table(sizes, zip(cycle.scopes, cycle.log_potentials, strict=True))
    exact = np.exp(weights - np.logaddexp.reduce(weights.ravel()))
    found = np.transpose(joint_of(network), [network.names.index(name) for name in sizes])
    np.testing.assert_allclose(found, exact, rtol=1e-8, atol=1e-12)
    for name, table in network.tables.items():
        np.testing.assert_allclose(table.sum(-1), 1, rtol=1e-8, err_msg=name)


def test_parents_that_never_occur_leave_a_uniform_row():
    graph = graphical.factor_graph({"A": 2, "B": 2}, {("A", "B"): jnp.array([[0.0, 1.0], [-jnp.inf, -jnp.inf]])})
    network = graphical.to_bayesian_network(graph, ["B", "A"])
    np.testing.assert_allclose(network.tables["A"], [1, 0])
    np.testing.assert_allclose(network.tables["B"], [[1 / (1 + np.e), np.e / (1 + np.e)], [0.5, 0.5]])


# -- refusals ----------------------------------------------------------------------------------------------------------

COIN = {"A": 2, "B": ["no", "yes"]}


def pair(table=((0.5, 0.5), (0.2, 0.8))):
    return graphical.bayesian_network(COIN, {"B": ["A"]}, {"A": [0.3, 0.7], "B": table})


def clamped(**evidence):
    table = [[1.0, 0.0], [1.0, 0.0]]
    return graphical.marginals(graphical.to_factor_graph(pair(table)), evidence)


def wide():
    names = [f"x{i}" for i in range(30)]
    return graphical.factor_graph(dict.fromkeys(names, 2), {pair: jnp.zeros((2, 2)) for pair in
                                                            itertools.combinations(names, 2)})  # fmt: skip


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: graphical.bayesian_network(COIN, {"A": ["B"], "B": ["A"]}, {}), "this graph has A → B → A|B → A → B"),
        (lambda: graphical.bayesian_network(COIN, {"B": ["Q"]}, {}), "unknown variable 'Q': there are A, B"),
        (lambda: graphical.bayesian_network(COIN, {}, {"A": [0.5, 0.5]}), "no table for B: every variable needs one"),
        (lambda: pair([0.5, 0.5]), r"P\(B \| A\), axes \(A, B\) must have shape \(2, 2\).*got \(2,\)"),
        (lambda: pair([[0.5, 0.5], [0.2, 0.7]]), "'B' must sum to 1 .* given A = 1 it sums to 0.9"),
        (lambda: pair([[1.5, -0.5], [0.2, 0.8]]), "'B' must hold probabilities"),
        (lambda: graphical.factor_graph(COIN, {("A", "Q"): jnp.zeros((2, 2))}), "unknown variable 'Q'"),
        (lambda: graphical.factor_graph(COIN, {("A", "A"): jnp.zeros((2, 2))}), "names one variable twice"),
        (lambda: graphical.factor_graph(COIN, {"A": jnp.array([0, jnp.nan])}), "must be finite or −inf"),
        (lambda: graphical.factor_graph(COIN, {"A": jnp.zeros(3)}), r"must have shape \(2,\), because A has 2 states"),
        (lambda: graphical.markov_network(COIN, {"A": [1.0, -1.0]}), "must be finite and not negative"),
        (lambda: graphical.factor_graph({"A": 0}, {}), "'A' needs at least one state"),
        (lambda: graphical.factor_graph({"A": "no"}, {}), "the states of 'A' are the text 'no'"),
        (lambda: graphical.factor_graph({"A": ["no", "no"]}, {}), "one label twice"),
        (lambda: clamped(B="yes"), "the evidence B = yes has probability zero"),
        (lambda: clamped(Q=1), "unknown variable 'Q'"),
        (lambda: clamped(B="maybe"), "unknown state 'maybe' of 'B': it has no, yes"),
        (lambda: clamped(A="low"), "unknown state 'low' of 'A': it has no labels, only the numbers 0 to 1"),
        (lambda: clamped(A=2), "the states of 'A' are 0 to 1, got 2"),
        (lambda: clamped(A=0.5), "must be a whole number or a label, got 0.5"),
        (lambda: clamped(A=np.array([True])), r"a mask of 'A' must have shape \(2,\)"),
        (lambda: clamped(A=np.array([0, 1])), "use jax.vmap for many evidences"),
        (
            lambda: graphical.log_partition(wide()),
            r"clique of 30 variables x0 \(2\), x1 \(2\).*: 1,073,741,824 entries",
        ),
        (lambda: graphical.marginalise(wide(), "x0"), "clique of 30 variables"),
        (lambda: graphical.marginal(wide(), [f"x{i}" for i in range(28)]), "more than max_entries=16,777,216"),
        (lambda: graphical.marginal(graphical.factor_graph(COIN, {}), ["A", "A"]), "can be asked for once"),
        (
            lambda: graphical.elimination_order(graphical.factor_graph(COIN, {}), ["A"]),
            "must name each of A, B once, got A",
        ),
        (
            lambda: graphical.marginals(graphical.factor_graph({"A": 2}, {"A": jnp.full(2, -jnp.inf)})),
            "Z is zero: no assignment has a positive weight",
        ),
        (lambda: graphical.log_weight(graphical.to_factor_graph(pair()), {"A": 1}), "no states of B"),
        (lambda: graphical.sample(jax.random.key(0), graphical.to_factor_graph(pair()), 0), "samples must be at least"),
    ],
)
def test_bad_input_is_named(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()

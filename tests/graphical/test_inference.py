"""Exact inference against enumeration of every assignment."""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joint_tables import SCOPES, STUDENT, log_table, marginal_table, product_table
from scipy import stats

from jaxgen import graphical


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


@st.composite
def cases(draw):
    """Variables of 1 to 3 states, factors of 0 to 3 variables, zeros, isolated variables, disconnected parts."""
    n = draw(st.integers(1, 6))
    names = [chr(65 + i) for i in range(n)]
    sizes = {name: draw(st.sampled_from((2, 2, 3, 1))) for name in names}
    scopes = draw(st.lists(st.lists(st.sampled_from(names), max_size=3, unique=True), max_size=7))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale, zeros = draw(st.sampled_from((1.0, 1.0, 5.0, 300.0))), draw(st.sampled_from((0.0, 0.0, 0.1, 0.4)))
    factors = []
    for scope in scopes:
        table = scale * generator.normal(size=tuple(sizes[name] for name in scope))
        table = np.where(generator.random(table.shape) < zeros, -np.inf, table)
        factors.append((tuple(scope), table))
    observed = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    evidence = {name: int(generator.integers(sizes[name])) for name in observed}
    asked = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    return Case(sizes, factors, evidence, tuple(asked))


def enumerate_log(case):
    """The log-weights of all assignments that agree with the evidence."""
    masks = []
    for name, state in case.evidence.items():
        mask = np.full(case.sizes[name], -np.inf)
        mask[state] = 0
        masks.append(((name,), mask))
    return log_table(case.sizes, [*case.factors, *masks])


def agrees_with_enumeration(case):
    """log Z, marginals, covariances, the most probable assignment, conditionals, samples, gradients."""
    graph, names, close = case.graph(), list(case.sizes), {"rtol": 1e-6, "atol": 1e-6}
    weights = enumerate_log(case)
    top = weights.max()
    log_z = graphical.log_partition(graph, case.evidence)
    gradient = jax.grad(graphical.log_partition)(graph, case.evidence)
    assert all(np.isfinite(table).all() for table in gradient.log_potentials)
    if top == -np.inf:
        assert log_z == -np.inf
        assert all((table == 0).all() for table in gradient.log_potentials)
        for ask in (graphical.marginals, graphical.most_probable, graphical.covariances):
            with pytest.raises(ValueError, match=r"has probability zero|Z is zero"):
                ask(graph, case.evidence)
        return
    joint = np.exp(weights - top)
    np.testing.assert_allclose(log_z, top + np.log(joint.sum()), **close)
    joint /= joint.sum()

    for (scope, _), table in zip(case.factors, gradient.log_potentials, strict=True):
        np.testing.assert_allclose(table, marginal_table(joint, names, scope), **close)
    for name, found in graphical.marginals(graph, case.evidence).items():
        np.testing.assert_allclose(found, marginal_table(joint, names, (name,)), **close)
    conditional = graphical.marginal(graph, case.asked, case.evidence)
    np.testing.assert_allclose(conditional, marginal_table(joint, names, case.asked), **close)

    covariance = graphical.covariances(graph, case.evidence)
    for one, two in itertools.product(names, repeat=2):
        first, second = (marginal_table(joint, names, (name,)) for name in (one, two))
        both = np.diag(first) if one == two else marginal_table(joint, names, (one, two))
        np.testing.assert_allclose(covariance[one][two], both - np.outer(first, second), **close)

    best = graphical.most_probable(graph, case.evidence)
    np.testing.assert_allclose(best.log_weight, top, **close)
    index = tuple(int(best.states[name]) for name in names)
    np.testing.assert_allclose(weights[index], top, **close)

    reduced = graphical.marginalise(graph, case.asked)
    assert list(reduced.names) == [name for name in names if name not in case.asked]
    full = enumerate_log(Case(case.sizes, case.factors, {}, ()))
    np.testing.assert_allclose(graphical.log_partition(reduced), np.logaddexp.reduce(full.ravel()), **close)
    for scope in reduced.scopes:
        assert set(scope).isdisjoint(case.asked)

    drawn = graphical.sample(jax.random.key(0), graph, 20, case.evidence)
    assert all((joint[tuple(int(drawn[name][i]) for name in names)] > 0) for i in range(20))


@given(cases())
@settings(max_examples=4)
def test_random_graphs_agree_with_enumeration(case):
    agrees_with_enumeration(case)


@pytest.mark.slow
@given(cases())
@settings(max_examples=200)
def test_many_random_graphs_agree_with_enumeration(case):
    agrees_with_enumeration(case)


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

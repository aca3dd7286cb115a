"""Learning from data, and loopy belief propagation, against counts, scipy and exact inference."""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from joint_tables import SCOPES, STUDENT, log_table, marginal_table
from scipy import optimize

from jaxgen import graphical

SIZES = {"A": 2, "B": 3, "C": 2}
TRIANGLE = [("A", "B"), ("B", "C"), ("C", "A")]


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def data(n=200, seed=0):
    generator = np.random.default_rng(seed)
    a = generator.integers(0, 2, n)
    return {"A": a, "B": (a + generator.integers(0, 2, n)) % 3, "C": generator.integers(0, 2, n) & a}


# -- conditional tables ------------------------------------------------------------------------------------------------


def test_tables_are_counts_with_a_dirichlet_prior():
    columns, parents = data(), {"B": ["A", "C"]}
    found = graphical.fit_tables(SIZES, parents, columns, prior=0.5)
    for a, c, b in itertools.product(range(2), range(2), range(3)):
        rows = (columns["A"] == a) & (columns["C"] == c)
        exact = ((rows & (columns["B"] == b)).sum() + 0.5) / (rows.sum() + 1.5)
        np.testing.assert_allclose(found.tables["B"][a, c, b], exact, rtol=1e-6)
    np.testing.assert_allclose(found.tables["A"], (np.bincount(columns["A"]) + 0.5) / 201, rtol=1e-6)
    likely = graphical.fit_tables(SIZES, {"B": ["A"]}, columns, prior=0)
    np.testing.assert_allclose(likely.tables["B"].sum(-1), 1, rtol=1e-6)
    # no other table has a larger likelihood, by the gradient in softmax coordinates
    graph = graphical.to_factor_graph(likely)
    share = graphical.empirical_marginals(graph, columns)
    np.testing.assert_allclose(graphical.factor_marginals(graph)[1], share[1], atol=1e-6)


def test_a_network_is_learned_back_from_its_samples():
    states = dict.fromkeys(STUDENT, 2)
    truth = graphical.random_bayesian_network(jax.random.key(0), states, STUDENT)
    drawn = graphical.sample(jax.random.key(1), graphical.to_factor_graph(truth), 50_000)
    found = graphical.fit_tables(states, STUDENT, drawn)
    for name, table in truth.tables.items():
        of = (*STUDENT[name],)
        counts = np.zeros(table.shape[:-1])
        np.add.at(counts, tuple(np.asarray(drawn[parent]) for parent in of), 1)
        errors = np.sqrt(table * (1 - table) / np.maximum(counts, 1)[..., None])
        assert (np.abs(found.tables[name] - table) < 4.5 * errors + 2 / np.maximum(counts, 1)[..., None]).all(), name


# -- potentials --------------------------------------------------------------------------------------------------------


def test_the_gradient_of_the_likelihood_is_data_minus_model():
    columns = data()
    tables = {scope: jax.random.normal(jax.random.key(i), tuple(SIZES[name] for name in scope), jnp.float64)
              for i, scope in enumerate(TRIANGLE)}  # fmt: skip
    graph = graphical.factor_graph(SIZES, tables)
    found = jax.grad(lambda graph: graphical.log_probability(graph, columns).mean())(graph)
    joint = np.exp(log_table(SIZES, tables.items()))
    joint /= joint.sum()
    for scope, gradient in zip(TRIANGLE, found.log_potentials, strict=True):
        counts = np.zeros(gradient.shape)
        np.add.at(counts, tuple(columns[name] for name in scope), 1 / 200)
        np.testing.assert_allclose(gradient, counts - marginal_table(joint, list(SIZES), scope), atol=1e-7)


def test_potentials_of_largest_likelihood_match_the_datas_marginals_and_scipy():
    columns = {name: np.concatenate([column, extra]) for (name, column), extra in
               zip(data().items(), np.indices((2, 3, 2)).reshape(3, -1), strict=True)}  # fmt: skip
    graph = graphical.factor_graph(SIZES, {s: jnp.zeros(tuple(SIZES[n] for n in s)) for s in TRIANGLE})
    fit = graphical.fit_potentials(graph, columns, tolerance=1e-7)
    assert fit.gradient < 1e-6
    for found, share in zip(
        graphical.factor_marginals(fit.graph), graphical.empirical_marginals(graph, columns), strict=True
    ):
        np.testing.assert_allclose(found, share, atol=1e-6)
    np.testing.assert_allclose(fit.log_likelihood, graphical.log_probability(fit.graph, columns).mean(), rtol=1e-6)

    # scipy's optimum of the penalised likelihood, by enumeration
    shares = [np.asarray(share, np.float64) for share in graphical.empirical_marginals(graph, columns)]
    ends = np.cumsum([share.size for share in shares])

    def loss(theta):
        parts = [p.reshape(s.shape) for p, s in zip(np.split(theta, ends[:-1]), shares, strict=True)]
        log_z = np.logaddexp.reduce(log_table(SIZES, zip(TRIANGLE, parts, strict=True)).ravel())
        return log_z - sum((p * s).sum() for p, s in zip(parts, shares, strict=True)) + 0.05 * (theta**2).sum()

    exact = optimize.minimize(loss, np.zeros(ends[-1]), method="BFGS", options={"gtol": 1e-7}).x
    fit = graphical.fit_potentials(graph, columns, penalty=0.1, tolerance=1e-7)
    np.testing.assert_allclose(
        np.concatenate([np.ravel(table) for table in fit.graph.log_potentials]), exact, atol=2e-5
    )


def test_forbidden_states_stay_forbidden_and_data_there_are_refused():
    start = jnp.array([[0.0, -jnp.inf, 0.0], [0.0, 0.0, 0.0]])
    graph = graphical.factor_graph({"A": 2, "B": 3}, {("A", "B"): start})
    columns = {"A": np.array([0, 1, 1, 1, 0, 1]), "B": np.array([0, 1, 2, 0, 2, 1])}
    fit = graphical.fit_potentials(graph, columns)
    joint = np.exp(fit.graph.log_potentials[0] - graphical.log_partition(fit.graph))
    np.testing.assert_allclose(joint, np.array([[1, 0, 1], [1, 2, 1]]) / 6, atol=1e-5)
    with pytest.raises(ValueError, match=r"the factor \(A, B\) forbids"):
        graphical.fit_potentials(graph, {"A": np.array([0]), "B": np.array([1])})


# -- loopy belief propagation ------------------------------------------------------------------------------------------


def tree():
    tables = {s: jax.random.normal(jax.random.key(i), (2, 3) if i < 3 else (2,), jnp.float64)
              for i, s in enumerate([("A", "x"), ("B", "x"), ("B", "y"), ("A",)])}  # fmt: skip
    sizes = {"A": 2, "x": 3, "B": 2, "y": 3, "lonely": 4}
    return graphical.factor_graph(sizes, tables)


@pytest.mark.parametrize("damping", [0.0, 0.4])
def test_beliefs_on_a_tree_are_exact(damping):
    graph = tree()
    with warnings.catch_warnings():
        warnings.simplefilter("error", graphical.LoopyWarning)
        found = graphical.loopy_belief_propagation(graph, {"y": 1}, iterations=60, damping=damping)
    exact = graphical.marginals(graph, {"y": 1})
    for name, belief in found.marginals.items():
        np.testing.assert_allclose(belief, exact[name], atol=1e-9)
    for belief, table in zip(found.factor_marginals, graphical.factor_marginals(graph, {"y": 1}), strict=True):
        np.testing.assert_allclose(belief, table, atol=1e-9)
    np.testing.assert_allclose(found.log_partition, graphical.log_partition(graph, {"y": 1}), atol=1e-8)
    assert found.residual < 1e-9


def test_the_program_does_not_grow_with_the_graph():
    """Beliefs on a chain of 30 are exact, by as large a program as on one of 10."""

    def line(n):
        tables = jax.random.normal(jax.random.key(n), (n - 1, 2, 2), jnp.float64)
        return graphical.factor_graph(
            {f"x{i}": 2 for i in range(n)}, {(f"x{i}", f"x{i + 1}"): table for i, table in enumerate(tables)}
        )

    short, long = (str(jax.make_jaxpr(graphical.loopy_belief_propagation)(line(n))) for n in (10, 30))
    assert short.count(" exp ") == long.count(" exp ")
    found, exact = graphical.loopy_belief_propagation(line(30), damping=0.0), graphical.marginals(line(30))
    np.testing.assert_allclose(np.stack([found.marginals[name] for name in exact]), np.stack(list(exact.values())))


def test_beliefs_with_cycles_warn_and_are_near_where_potentials_are_weak():
    tables = {s: 0.3 * jax.random.normal(jax.random.key(i), (2,) * len(s), jnp.float64) for i, s in enumerate(SCOPES)}
    graph = graphical.factor_graph(dict.fromkeys("ABCDEFG", 2), tables)
    with pytest.warns(graphical.LoopyWarning, match="approximation without an error bound"):
        found = graphical.loopy_belief_propagation(graph)
    exact = graphical.marginals(graph)
    assert found.residual < 1e-9
    gaps = [np.abs(found.marginals[name] - exact[name]).max() for name in exact]
    assert 1e-9 < max(gaps) < 0.02
    np.testing.assert_allclose(found.log_partition, graphical.log_partition(graph), atol=0.02)


def test_one_pair_of_beliefs_on_a_loop_is_the_fixed_point():
    """At convergence every factor's belief sums to its variables' beliefs."""
    tables = {s: jax.random.normal(jax.random.key(i), tuple(SIZES[n] for n in s), jnp.float64)
              for i, s in enumerate(TRIANGLE)}  # fmt: skip
    tables["A", "B"] = tables["A", "B"].at[0, 1].set(-jnp.inf)
    graph = graphical.factor_graph(SIZES, tables)
    with pytest.warns(graphical.LoopyWarning):
        found = graphical.loopy_belief_propagation(graph, iterations=300)
    assert found.residual < 1e-9
    for scope, belief in zip(TRIANGLE, found.factor_marginals, strict=True):
        np.testing.assert_allclose(belief.sum(1), found.marginals[scope[0]], atol=1e-8)
        np.testing.assert_allclose(belief.sum(0), found.marginals[scope[1]], atol=1e-8)
    assert found.factor_marginals[0][0, 1] == 0


# -- refusals ----------------------------------------------------------------------------------------------------------

TWO = {"A": 2, "B": 2}


def coins(**columns):
    return graphical.fit_tables(TWO, {"B": ["A"]}, {name: np.array(c) for name, c in columns.items()}, prior=0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: coins(A=[0, 1]), "no data of B: complete data have a column for every variable"),
        (lambda: coins(A=[0, 1], B=[0, 2]), "the states of 'B' are 0 to 1, got"),
        (lambda: coins(A=[0, 1], B=[0]), r"one shape \(n,\) for all variables"),
        (lambda: coins(A=[], B=[]), "must be a whole number|at least one example"),
        (lambda: coins(A=[0, 0], B=[0, 1]), r"no example has A = 1, so P\(B \| …\) is undefined: give a prior > 0"),
        (lambda: coins(A=[0], B=[0], C=[0]), "unknown variable 'C'"),
        (lambda: graphical.fit_tables(TWO, {}, {}, prior=-1.0), "prior must be finite and not negative"),
        (lambda: graphical.loopy_belief_propagation(tree(), damping=1.0), r"damping must lie in \[0, 1\), got 1.0"),
        (lambda: graphical.loopy_belief_propagation(tree(), iterations=0), "iterations must be at least 1"),
        (lambda: graphical.fit_potentials(tree(), {}, penalty=-1.0), "penalty must be finite and not negative"),
    ],
)
def test_bad_input_is_named(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()

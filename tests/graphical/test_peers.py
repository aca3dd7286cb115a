"""pgmpy as an outside oracle; it needs the extra `peers`."""

import itertools

import jax
import numpy as np
import pytest
from joint_tables import ROUTES, SCOPES, STUDENT, subsets

from jaxgen import graphical

pytest.importorskip("pgmpy", reason="the extra peers")

from pgmpy.factors.discrete import DiscreteFactor, TabularCPD
from pgmpy.inference import BeliefPropagation, VariableElimination
from pgmpy.models import DiscreteBayesianNetwork, DiscreteMarkovNetwork


def theirs(network):
    """The same Bayesian network in pgmpy."""
    model = DiscreteBayesianNetwork(list(network.graph.edges))
    model.add_nodes_from(network.names)
    for name, table in network.tables.items():
        of = network.parents[name]
        values = np.moveaxis(np.array(table, np.float64), -1, 0)
        sizes = values.shape[1:]
        values = values.reshape(values.shape[0], -1)
        values /= values.sum(0)
        model.add_cpds(TabularCPD(name, len(values), values, list(of) or None, list(sizes) or None))
    assert model.check_model()
    return model


@pytest.mark.parametrize("parents", [STUDENT, ROUTES], ids=["student", "routes"])
def test_separations_and_blankets_are_pgmpys(parents):
    graph = graphical.directed_graph(parents)
    model = DiscreteBayesianNetwork(list(graph.edges))
    model.add_nodes_from(graph)
    for name in graph:
        assert graphical.markov_blanket(graph, name).names == set(model.get_markov_blanket(name))
    for x, y in itertools.combinations(graph, 2):
        for z in subsets(set(graph) - {x, y}):
            connected = model.is_dconnected(x, y, observed=list(z))
            assert graphical.separation(graph, x, y, z).separated == (not connected)
    moral = {frozenset(edge) for edge in model.moralize().edges}
    assert {frozenset(edge) for edge in graphical.moral_graph(graph).graph.edges} == moral


@pytest.mark.parametrize("parents", [STUDENT, ROUTES], ids=["student", "routes"])
def test_conditionals_and_assignments_are_pgmpys(parents):
    with jax.enable_x64(True):
        network = graphical.random_bayesian_network(jax.random.key(0), dict.fromkeys(parents, 3), parents)
        graph, oracle = graphical.to_factor_graph(network), VariableElimination(theirs(network))
        for evidence in ({}, {"D": 1} if "D" in parents else {"M": 2, "S": 0}):
            for name in set(parents) - set(evidence):
                exact = oracle.query([name], evidence=evidence, show_progress=False).values
                np.testing.assert_allclose(graphical.marginal(graph, name, evidence), exact, rtol=1e-5)
            others = [name for name in parents if name not in evidence]
            best = oracle.map_query(others, evidence=evidence, show_progress=False)
            found = graphical.most_probable(graph, evidence).states
            assert {name: int(found[name]) for name in others} == {name: int(best[name]) for name in others}


def test_the_partition_function_and_marginals_are_pgmpys():
    tables = {scope: jax.random.normal(jax.random.key(i), (2,) * len(scope)) for i, scope in enumerate(SCOPES)}
    graph = graphical.factor_graph(dict.fromkeys("ABCDEFG", 2), tables)
    model = DiscreteMarkovNetwork([tuple(edge) for edge in graph.graph.edges])
    factors = [DiscreteFactor(list(s), [2] * len(s), np.exp(np.asarray(t, np.float64))) for s, t in tables.items()]
    model.add_factors(*factors)
    np.testing.assert_allclose(graphical.log_partition(graph), np.log(model.get_partition_function()), rtol=1e-5)
    oracle = BeliefPropagation(model)
    for name, found in graphical.marginals(graph).items():
        exact = oracle.query([name], show_progress=False).values
        np.testing.assert_allclose(found, exact, rtol=1e-4)

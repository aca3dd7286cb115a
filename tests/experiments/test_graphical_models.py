"""The exercise on graphical models: a whole small run, its parts against mathematics, networks from files, refusals."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from joint_tables import SCOPES, STUDENT, log_table
from shown import findings_of, metrics_of

from experiments.graphical_models import measure_learning, measure_potentials, measure_statements, network_file, report
from experiments.graphical_models.__main__ import main
from experiments.graphical_models.config import PRESETS
from experiments.graphical_models.measure import Measured, Own
from experiments.graphical_models.measure_conversions import conversions
from experiments.graphical_models.measure_toy import toys
from experiments.graphical_models.networks import FIRST, MARKOV, random_model
from experiments.graphical_models.statements import decide, parse, structural
from experiments.kit.run import BadInput
from jaxgen import graphical
from jaxgen.report import table

SMALL = PRESETS["smoke"]
RAIN = {
    "states": {"rain": ["no", "yes"], "sprinkler": 2, "wet": ["no", "yes"]},
    "parents": {"wet": ["rain", "sprinkler"]},
    "tables": {"rain": [0.8, 0.2], "sprinkler": [0.9, 0.1],
               "wet": [[[1.0, 0.0], [0.1, 0.9]], [[0.2, 0.8], [0.01, 0.99]]]},
}  # fmt: skip


@pytest.fixture(autouse=True)
def x64():
    """As in the experiment."""
    with jax.enable_x64(True):
        yield


def written(path, content):
    file = path / "rain.json"
    file.write_text(json.dumps(content) if isinstance(content, dict) else content)
    return file


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        (
            "agrees with every decision",
            "Random tables contradict none of their decisions",
            "It loses 26 of 44 independencies",
            "is a cycle without a chord",
            "which is rounding",
            "and so do the marginals",
        ),
        "networks.png markov.png moral.png learning.png theta.png",
    )
    assert len(metrics["independencies"]) == 31
    assert metrics["losses"][1]["lost"] == 26
    assert set(metrics["learned"]) == {"first network", "Markov network"}


@pytest.mark.slow
def test_a_network_of_ones_own(tmp_path):
    config = replace(
        SMALL, runs=tmp_path, progress=False, network=written(tmp_path, RAIN), query="rain",
        evidence=("wet=yes",), statements=("rain ⊥ sprinkler", "rain _|_ sprinkler | wet"),
    )  # fmt: skip
    with jax.enable_x64(False):
        path = main(config)
    page = path.read_text()
    assert "rain ⊥ sprinkler | wet" in page
    assert (path.parent / "figures" / "own.png").is_file()
    metrics = json.loads((path.parent / "metrics.json").read_text())
    assert [row["true"] for row in metrics["own statements"]] == [True, False]
    wet = np.array([0.8, 0.2])[:, None] * np.array([0.9, 0.1]) * np.array([[0.0, 0.9], [0.8, 0.99]])
    exact = [row["exact"] for row in metrics["answers"]]
    np.testing.assert_allclose(exact, wet.sum(1) / wet.sum(), rtol=1e-6)


# -- parts against mathematics -----------------------------------------------------------------------------------------


def test_information_is_that_of_a_page():
    """Two equal coins share log 2 nats; given a third that says whether they agree, two fair coins do too."""
    equal = np.array([[0.5, 0], [0, 0.5]])
    np.testing.assert_allclose(measure_statements.information(equal, [0], [1], []), np.log(2))
    parity = np.zeros((2, 2, 2))
    for a in range(2):
        for b in range(2):
            parity[a, b, a ^ b] = 0.25
    np.testing.assert_allclose(measure_statements.information(parity, [0], [1], []), 0, atol=1e-15)
    np.testing.assert_allclose(measure_statements.information(parity, [0], [1], [2]), np.log(2))


def test_every_decision_agrees_with_random_tables():
    found = measure_statements.tested(SMALL)
    assert all(of.agrees for of in found)
    assert {of.decision.true for of in found} == {True, False}
    assert not found[0]._replace(information=0.1).agrees
    true = {of.decision.statement for of in found if of.decision.true and of.decision.network == MARKOV.name}
    assert true == {"A ⊥ D | B, C", "A ⊥ E | B, F", "B ⊥ F | C, D, E", "A ⊥ G | E", "A, D ⊥ E, G | B, F"}


def test_conversions_lose_what_enumeration_says():
    found = conversions()
    assert set(map(frozenset, found.marriages)) == set(map(frozenset, ("AB", "AO", "BT")))
    assert (found.losses[1].held, found.losses[1].lost) == (44, 26)
    assert set(found.cycle) == set("SOTB")
    assert set(map(frozenset, found.fills)) == {frozenset("OB")}
    assert set(map(frozenset, found.oriented_fill)) == {frozenset("BF")}
    assert found.width == 3
    decided = {(of.network, of.statement): of.true for of in structural()}
    assert decided["second network", "the Markov blanket of T is {O, A, M, B}"]
    assert not decided["second network", "the Markov blanket of T is {O, A, M}"]
    assert decided["moral graph of the first network", "chordal"]
    assert not decided["moral graph of the second network", "chordal"]


def test_scaling_and_summing_out():
    for of in measure_potentials.scalings(SMALL):
        np.testing.assert_allclose(of.ratio, 5, rtol=1e-12)
        assert of.change < 1e-14
    summed = measure_potentials.marginalised(SMALL)
    assert summed.scope == ("A", "B", "D", "F")
    assert set(map(frozenset, summed.joined)) == {frozenset("AD"), frozenset("AF"), frozenset("BF")}
    np.testing.assert_allclose(summed.after, summed.before, rtol=1e-12)
    assert summed.change < 1e-14


def test_the_best_theta_is_x_plus_1():
    for of in toys():
        np.testing.assert_allclose(of.best, of.x + 1, rtol=1e-3)
        assert 0 <= of.kl.min() < 1e-6
        assert abs(of.gap) < 1e-12


def test_the_divergence_is_that_of_enumeration():
    one, two = random_model(MARKOV, 0, 2), random_model(MARKOV, 1, 2)
    logs = []
    for graph in (one, two):
        joint = log_table(dict.fromkeys(graph.names, 2), zip(graph.scopes, graph.log_potentials, strict=True))
        logs.append(joint - np.logaddexp.reduce(joint.ravel()))
    exact = np.sum(np.exp(logs[0]) * (logs[0] - logs[1]))
    np.testing.assert_allclose(measure_learning.kl(one, two), exact, rtol=1e-9)
    np.testing.assert_allclose(measure_learning.kl(one, one), 0, atol=1e-12)


def test_parameters_are_the_rank_of_the_fisher_information():
    """The Hessian of log Z in the potentials, and the sizes of the conditional tables."""
    first, markov = measure_learning.subjects(replace(SMALL, states=2), None)
    assert measure_learning.parameters(first) == 3 + 4 + 2 + 4
    sizes = {"A": 3, "B": 2, "C": 2}
    graph = graphical.factor_graph(
        sizes, {("A", "B"): jnp.zeros((3, 2)), ("B", "C"): jnp.ones((2, 2)), ("C",): jnp.ones(2)}
    )
    flat, restore = jax.flatten_util.ravel_pytree(graph)
    fisher = jax.hessian(lambda theta: graphical.log_partition(restore(theta)))(flat)
    assert measure_learning.parameters(markov._replace(factors=graph)) == np.linalg.matrix_rank(fisher, tol=1e-8)


# -- networks and statements from outside ------------------------------------------------------------------------------


def test_networks_are_read_from_json(tmp_path):
    config = replace(SMALL, network=written(tmp_path, RAIN), evidence=("wet=yes", "sprinkler=0"), query="rain")
    subject = network_file.read_subject(config)
    assert (subject.name, subject.query, subject.evidence) == ("rain", "rain", {"wet": 1, "sprinkler": 0})
    assert subject.parents["wet"] == ("rain", "sprinkler")
    markov = {"states": {"A": 2, "B": 2}, "factors": [{"variables": ["A", "B"], "potentials": [[1, 2], [3, 4]]}]}
    subject = network_file.read_subject(replace(SMALL, network=written(tmp_path, markov)))
    assert (subject.parents, subject.query) == (None, "B")
    np.testing.assert_allclose(graphical.marginals(subject.factors)["A"], [0.3, 0.7], rtol=1e-6)
    places = network_file.places(graphical.directed_graph(STUDENT))
    assert places["M"][1] > places["I"][1] > places["D"][1]
    assert len(set(places.values())) == 6
    assert network_file.read_subject(SMALL) is None


def test_networks_are_read_from_bif(tmp_path):
    pytest.importorskip("pgmpy", reason="the extra peers")
    file = tmp_path / "rain.bif"
    file.write_text(
        "network unknown {}\n"
        "variable rain { type discrete [ 2 ] { no, yes }; }\nvariable wet { type discrete [ 2 ] { no, yes }; }\n"
        "probability ( rain ) { table 0.8, 0.2; }\n"
        "probability ( wet | rain ) { (no) 0.9, 0.1; (yes) 0.2, 0.8; }\n"
    )
    network = network_file.read_network(file)
    np.testing.assert_allclose(network.tables["wet"], [[0.9, 0.1], [0.2, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ("no network", {}, "is no JSON"),
        ({"states": {}}, {}, "must hold an object with states, and with parents and tables or with factors"),
        ({"states": {"A": 2}, "factors": [{"scope": ["A"]}]}, {}, "is not laid out as a network: KeyError"),
        (RAIN | {"parents": {"rain": ["wet"], "wet": ["rain"]}}, {}, "a Bayesian network has no directed cycles"),
        (RAIN, {"query": "snow"}, "unknown variable 'snow'"),
        (RAIN, {"query": "wet", "evidence": ("wet=yes",)}, "--query wet is also in --evidence"),
        (RAIN, {"evidence": ("wet",)}, "is not VARIABLE=STATE with a variable of rain, sprinkler, wet"),
        (RAIN, {"evidence": ("rain=maybe",)}, "--evidence 'rain=maybe': rain has the states no, yes"),
        (RAIN, {"evidence": ("sprinkler=2",)}, "sprinkler has the states 0 to 1"),
        (RAIN, {"query": "rain", "evidence": ("sprinkler=0", "wet=yes", "rain=no")}, "also in --evidence"),
        (RAIN, {"query": "sprinkler", "evidence": ("rain=no", "wet=yes")}, None),
    ],
)
def test_files_queries_and_evidence_are_refused(tmp_path, content, changes, message):
    config = replace(SMALL, network=written(tmp_path, content), **changes)
    if message is None:
        assert network_file.read_subject(config).query == "sprinkler"
        return
    with pytest.raises(ValueError, match=message):
        network_file.read_subject(config)
    with pytest.raises(BadInput, match=message):
        main(config)


def test_statements_are_parsed_and_decided():
    assert parse("A, B ⊥ C | D,E") == (("A", "B"), ("C",), ("D", "E"))
    assert str(parse("A _|_ C")) == "A ⊥ C"
    for text, message in (("A and B", "no statement of independence"), ("A ⊥ B | C | D", "more than one bar")):
        with pytest.raises(ValueError, match=message):
            parse(text)
    assert decide("n", FIRST.graph, "M ⊥ S | D").reason.endswith("a collider with the observed descendant D")
    assert decide("n", FIRST.graph, "D ⊥ F | T").reason == "D ← T ← F is blocked at the observed T"
    assert decide("n", graphical.directed_graph({"A": [], "B": []}), "A ⊥ B").reason == "there is no path between them"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": (100, 50)}, "--samples must ascend"),
        ({"repetitions": 1}, "--repetitions must be at least 2"),
        ({"states": 1}, "--states must be at least 2"),
        ({"prior": 0.0}, "--prior must be positive and finite"),
        ({"query": "A"}, "--query without --network"),
    ],
)
def test_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_the_text_follows_the_numbers():
    """Findings that no sound run has: a decision that tables contradict, and a scaling that changes a probability."""
    found, config = measured(), replace(SMALL, network=Path("own.json"))
    tables = {name: table(rows) for name, rows in report.all_rows(found).items()}
    assert any("agrees with every decision" in text for text in findings_of(report, config, found, tables))
    wrong = found._replace(
        tested=[found.tested[0]._replace(information=0.5), *found.tested[1:]],
        exhaustive=[found.exhaustive[0]._replace(contradicted=2), *found.exhaustive[1:]],
        scalings=[found.scalings[0]._replace(change=0.1), *found.scalings[1:]],
    )
    text = " ".join(findings_of(report, config, wrong, tables))
    for words in (
        "Random tables contradict these decisions: M ⊥ S.",
        "Random tables contradict 2 of their decisions",
        "changes no probability by more than 0.1",
    ):
        assert words in text
    assert "which is rounding" not in text


def measured():
    """All parts but the learned networks, which are made up."""
    answer = measure_learning.Answer("0", 0.3, (0.31, 0.01), None, 0.3)
    learned = measure_learning.Learned(
        "first network", "P(A)", 3, np.array([10, 100]), np.full((2, 4), 0.02), "A", "", [answer], 0, "A = 0", 0.3
    )
    first, _ = measure_learning.subjects(SMALL, None)
    own = Own(first, [decide("own", first.graph, "M ⊥ S")])
    return Measured(
        measure_statements.tested(SMALL), structural(), measure_statements.exhaustive(SMALL), conversions(),
        measure_potentials.scalings(SMALL), measure_potentials.marginalised(SMALL), [learned], toys(), own,
    )  # fmt: skip


@pytest.mark.slow
def test_learned_models_come_near_with_data():
    """Both kinds, from 4000 samples: within a factor of two of parameters/(2n)."""
    config = replace(SMALL, samples=(400, 4000), repetitions=4)
    for subject in measure_learning.subjects(config, None):
        found = measure_learning.learned(config, subject)
        assert 0.4 < found.last_ratio.mean < 2.2
        assert found.divergence[1].mean() < found.divergence[0].mean()
        exact = np.array([of.exact for of in found.answers])
        np.testing.assert_allclose(exact.sum(), 1, rtol=1e-9)
        for of in found.answers:
            assert abs(of.learned.mean - of.exact) < 0.05
            assert abs(of.counted - of.exact) < 4.5 * np.sqrt(of.exact * (1 - of.exact) / found.matching)


def test_the_networks_are_those_of_the_exercise():
    assert MARKOV.scopes == SCOPES
    assert {name: list(FIRST.graph.predecessors(name)) for name in FIRST.graph} == STUDENT

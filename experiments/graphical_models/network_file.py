"""A network of the user's own, from a file."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from experiments.graphical_models.config import Config
from experiments.graphical_models.networks import Places
from jaxgen import graphical


class Subject(NamedTuple):
    """A network to sample, learn again and query.

    Attributes:
        name: its name.
        factors: its factor graph.
        parents: the parents of each variable if it is a Bayesian network.
        query: the variable to ask for.
        evidence: indices of observed states.
    """

    name: str
    factors: graphical.FactorGraph
    parents: dict[str, tuple[str, ...]] | None
    query: str
    evidence: dict[str, int]

    @property
    def graph(self) -> nx.Graph:
        """Its graph, directed if it is a Bayesian network."""
        return self.factors.graph if self.parents is None else graphical.directed_graph(self.parents)


def read_subject(config: Config) -> Subject | None:
    """The network of `--network` with its query and evidence; None without one.

    Raises:
        ValueError: if the file, the query or the evidence are refused.
    """
    if config.network is None:
        return None
    network = read_network(config.network)
    parents, factors = None, network
    if isinstance(network, graphical.BayesianNetwork):
        parents, factors = network.parents, graphical.to_factor_graph(network)
    query = config.query or factors.names[-1]
    evidence = dict(observation(factors, text) for text in config.evidence)
    if query in evidence:
        raise ValueError(f"--query {query} is also in --evidence: ask for a variable that is not observed")
    graphical.marginal(factors, query, evidence)  # refuses an unknown variable and evidence of probability zero
    return Subject(config.network.stem, factors, parents, query, evidence)


def observation(factors: graphical.FactorGraph, text: str) -> tuple[str, int]:
    """A variable and the index of its state, of a text such as "A=1" or "A=yes"."""
    name, equals, state = map(str.strip, text.partition("="))
    if not equals or name not in factors.states:
        raise ValueError(f"--evidence {text!r} is not VARIABLE=STATE with a variable of {', '.join(factors.names)}")
    labels = factors.states[name]
    if isinstance(labels, tuple) and state in labels:
        return name, labels.index(state)
    if not state.isdecimal() or int(state) >= (labels if isinstance(labels, int) else len(labels)):
        known = f"0 to {labels - 1}" if isinstance(labels, int) else ", ".join(labels)
        raise ValueError(f"--evidence {text!r}: {name} has the states {known}")
    return name, int(state)


def read_network(file: Path) -> graphical.BayesianNetwork | graphical.FactorGraph:
    """Read a network from .json, or from .bif with pgmpy.

    Raises:
        ValueError: if the file does not hold a network.
        ImportError: if the file is a .bif and pgmpy is not installed.
    """
    if file.suffix == ".bif":
        return read_bif(file)
    try:
        content = json.loads(file.read_text())
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text: give a network as .json or .bif") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    if not isinstance(content, dict) or "states" not in content or not {"tables", "factors"} & set(content):
        raise ValueError(f"{file} must hold an object with states, and with parents and tables or with factors")
    try:
        return from_json(content)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} is not laid out as a network: {error!r}") from error


def from_json(content: dict[str, Any]) -> graphical.BayesianNetwork | graphical.FactorGraph:
    """The network that a parsed JSON file describes."""
    states = content["states"]
    if "factors" in content:
        factors = [(tuple(each["variables"]), np.asarray(each["potentials"], float)) for each in content["factors"]]
        return graphical.markov_network(states, factors)
    tables = {name: np.asarray(table, float) for name, table in content["tables"].items()}
    return graphical.bayesian_network(states, content.get("parents", {}), tables)


def read_bif(file: Path) -> graphical.BayesianNetwork:
    """Read a network in the Bayesian interchange format by pgmpy."""
    try:
        from pgmpy.readwrite import BIFReader
    except ImportError as error:
        raise ImportError("a .bif file needs pgmpy, not installed: pip install pgmpy") from error
    model = BIFReader(str(file)).get_model()
    states, parents, tables = {}, {}, {}
    for table in model.get_cpds():
        name, *of = table.variables
        states[name], parents[name] = table.state_names[name], of
        tables[name] = np.moveaxis(table.values, 0, -1)
    return graphical.bayesian_network(states, parents, tables)


def places(graph: nx.Graph) -> Places:
    """Places to draw the nodes of any graph: in layers if it is directed."""
    if graph.is_directed():
        layered = graph.copy()
        for layer, names in enumerate(nx.topological_generations(graph)):
            for name in names:
                layered.nodes[name]["layer"] = -layer
        found = nx.multipartite_layout(layered, subset_key="layer", align="horizontal")
    else:
        found = nx.kamada_kawai_layout(graph) if nx.is_connected(graph) else nx.circular_layout(graph)
    return {name: (float(x), float(y)) for name, (x, y) in found.items()}

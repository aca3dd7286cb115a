"""Networks that are sampled, learned again from their samples, and queried."""

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.graphical_models.config import Config
from experiments.graphical_models.network_file import Subject
from experiments.graphical_models.networks import FIRST, MARKOV, random_model
from experiments.kit.statistics import over_repetitions
from jaxgen import graphical
from jaxgen.metrics import MeanAndError


class Answer(NamedTuple):
    """P(query = state | evidence), exactly and in three other ways."""

    state: str
    exact: float
    learned: MeanAndError  # from the most samples, over the repetitions
    counted: float | None  # among those samples that agree with the evidence; None if none does
    loopy: float


class Learned(NamedTuple):
    """A network and those learned from its samples."""

    name: str
    factorisation: str
    parameters: int
    samples: np.ndarray  # (n,)
    divergence: np.ndarray  # (n, repetitions), KL(network ‖ learned) in nats
    query: str
    evidence: str
    answers: list[Answer]
    matching: int  # samples behind `counted`
    best: str  # the most probable assignment given the evidence
    best_probability: float

    @property
    def theory(self) -> np.ndarray:
        """The divergence of maximum likelihood for many samples n: parameters/(2n)."""
        return self.parameters / (2 * self.samples)

    @property
    def last_ratio(self) -> MeanAndError:
        """The divergence from the most samples over the theory's."""
        return over_repetitions(self.divergence[-1] / self.theory[-1])


def subjects(config: Config, own: Subject | None) -> list[Subject]:
    """The networks that are learned: two of the exercise, or the user's own."""
    if own is not None:
        return [own]
    first, markov = (random_model(given, config.seed, config.states) for given in (FIRST, MARKOV))
    parents = {name: tuple(FIRST.graph.predecessors(name)) for name in FIRST.graph}
    return [
        Subject(FIRST.name, first, parents, "M", {"D": 0}),
        Subject(MARKOV.name, markov, None, "A", {"G": 0}),
    ]


def learned(config: Config, subject: Subject) -> Learned:
    """Sample a network, learn it again from ever more samples, and ask both."""
    truth, key = subject.factors, jax.random.key(config.seed + 1)
    most = max(config.samples)
    draw = partial(graphical.sample, graph=truth, samples=most)
    drawn = jax.vmap(draw)(jax.random.split(key, config.repetitions))
    learn, divergence_of = learner(config, subject), jax.jit(jax.vmap(partial(kl, truth)))
    fits = [learn(drawn, (jnp.arange(most) < n).astype(jnp.float64)) for n in config.samples]
    divergence = np.array([divergence_of(fit) for fit in fits])
    ask = jax.jit(jax.vmap(lambda graph: graphical.marginal(graph, subject.query, subject.evidence)))
    probabilities = ask(fits[-1])
    best = graphical.most_probable(truth, subject.evidence)
    log_z = graphical.log_partition(truth, subject.evidence)
    scopes = None if subject.graph.is_directed() else truth.scopes
    counted, matching = frequencies(subject, drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", graphical.LoopyWarning)
        loopy = graphical.loopy_belief_propagation(truth, subject.evidence).marginals[subject.query]
    exact = graphical.marginal(truth, subject.query, subject.evidence)
    answers = [
        Answer(
            label(truth, subject.query, i),
            float(exact[i]),
            over_repetitions(np.asarray(probabilities[:, i])),
            None if counted is None else float(counted[i]),
            float(loopy[i]),
        )
        for i in range(len(exact))
    ]
    return Learned(
        subject.name,
        graphical.factorisation(subject.graph, scopes),
        parameters(subject),
        np.array(config.samples),
        np.maximum(divergence, 0),
        subject.query,
        ", ".join(f"{name} = {label(truth, name, state)}" for name, state in subject.evidence.items()),
        answers,
        matching,
        ", ".join(f"{name} = {label(truth, name, int(best.states[name]))}" for name in truth.names),
        float(jnp.exp(best.log_weight - log_z)),
    )


def learner(config: Config, subject: Subject) -> Callable[[dict[str, jax.Array], jax.Array], graphical.FactorGraph]:
    """A function that learns stacked networks from data (repetitions, n) with weights (n,)."""

    def learn(data: dict[str, jax.Array], weights: jax.Array) -> graphical.FactorGraph:
        if subject.parents is not None:
            network = graphical.fit_tables(
                subject.factors.states, subject.parents, data, prior=config.prior, weights=weights
            )
            return graphical.to_factor_graph(network)
        start = jax.tree.map(lambda table: jnp.where(jnp.isfinite(table), 0, table), subject.factors)
        penalty = config.penalty / weights.sum()
        return graphical.fit_potentials(start, data, penalty=penalty, weights=weights).graph

    return jax.jit(jax.vmap(learn, (0, None)))  # weights, not shorter data: what is compiled serves every n


def kl(truth: graphical.FactorGraph, other: graphical.FactorGraph) -> jax.Array:
    """KL(truth ‖ other) of two factor graphs of one structure, exactly: an expectation of differences of factors."""
    expected = graphical.factor_marginals(truth)
    total = graphical.log_partition(other) - graphical.log_partition(truth)
    for share, one, two in zip(expected, truth.log_potentials, other.log_potentials, strict=True):
        total += jnp.sum(jnp.where(share > 0, share * (one - two), 0))
    return total


def parameters(subject: Subject) -> int:
    """The free parameters of a network: its conditionals' or, if it is undirected, those of its interactions."""
    sizes = dict(zip(subject.factors.names, subject.factors.structure.domain.sizes, strict=True))
    if subject.parents is not None:
        return sum((sizes[name] - 1) * math.prod(sizes[each] for each in of) for name, of in subject.parents.items())
    interactions = {
        frozenset(some)
        for scope in subject.factors.scopes
        for n in range(1, len(scope) + 1)
        for some in combinations(scope, n)
    }
    return sum(math.prod(sizes[name] - 1 for name in some) for some in interactions)


def frequencies(subject: Subject, drawn: dict[str, jax.Array]) -> tuple[np.ndarray | None, int]:
    """The shares of the query's states in the first repetition's samples that agree with the evidence."""
    first = {name: np.asarray(of[0]) for name, of in drawn.items()}
    agree = np.ones(len(first[subject.query]), bool)
    for name, state in subject.evidence.items():
        agree &= first[name] == state
    kept, size = first[subject.query][agree], subject.factors.structure.domain.size(subject.query)
    return (np.bincount(kept, minlength=size) / len(kept) if len(kept) else None), len(kept)


def label(graph: graphical.FactorGraph, name: str, state: int) -> str:
    """The label of a state, or its number."""
    labels: int | Sequence[str] = graph.states[name]
    return str(state) if isinstance(labels, int) else labels[state]

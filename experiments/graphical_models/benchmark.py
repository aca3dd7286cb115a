"""Seconds of exact inference: `python -m experiments.graphical_models.benchmark`.

A chain of 200 and a 10 × 10 grid of binary variables, 64 sets of potentials in one call: log Z, and all marginals as
its gradient. Beside them, where they are installed, pgmpy and mbi (private-pgm) with one set of potentials at a time.
"""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxgen import graphical

BATCH, ROUNDS = 64, 5
PEER_SETS = 2  # sets of potentials that a peer is timed on

Pairs = list[tuple[str, str]]


def chain(n: int = 200) -> Pairs:
    """The edges of a chain."""
    return [(f"x{i}", f"x{i + 1}") for i in range(n - 1)]


def grid(side: int = 10) -> Pairs:
    """The edges of a grid."""
    across = [(f"x{i}_{j}", f"x{i}_{j + 1}") for i in range(side) for j in range(side - 1)]
    down = [(f"x{i}_{j}", f"x{i + 1}_{j}") for i in range(side - 1) for j in range(side)]
    return across + down


def model(pairs: Pairs, tables: Any) -> graphical.FactorGraph:
    """A factor graph with tables (pairs, 2, 2)."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    return graphical.factor_graph(dict.fromkeys(names, 2), list(zip(pairs, tables, strict=True)))


def seconds(work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """The median duration of work, once done before."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        jax.block_until_ready(work())
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def ours(pairs: Pairs, tables: jax.Array) -> dict[str, float]:
    """Seconds of one call for all sets of potentials, and of compiling it."""
    found = {}
    for what, ask in (
        ("log Z", lambda t: graphical.log_partition(model(pairs, t))),
        ("all marginals", lambda t: graphical.factor_marginals(model(pairs, t))),
    ):
        began = time.perf_counter()
        compiled = jax.jit(jax.vmap(ask)).lower(tables).compile()
        found[f"compile {what}"] = time.perf_counter() - began
        compiled(tables)
        found[what] = seconds(lambda compiled=compiled: compiled(tables))
    return found


def pgmpy(pairs: Pairs, tables: np.ndarray) -> dict[str, float]:
    """Seconds for each set of potentials: every edge's marginal by a calibrated junction tree."""
    from pgmpy.factors.discrete import DiscreteFactor
    from pgmpy.inference import BeliefPropagation
    from pgmpy.models import DiscreteMarkovNetwork

    def work(one: np.ndarray) -> None:
        network = DiscreteMarkovNetwork(pairs)
        network.add_factors(
            *(DiscreteFactor(list(pair), [2, 2], np.exp(t)) for pair, t in zip(pairs, one, strict=True))
        )
        BeliefPropagation(network).calibrate()

    return {"all marginals": seconds(lambda: [work(one) for one in tables], 1) / len(tables)}


def mbi(pairs: Pairs, tables: np.ndarray) -> dict[str, float]:
    """Seconds for each set of potentials, compiled: every edge's marginal by Shafer–Shenoy message passing."""
    from mbi import CliqueVector, Domain, Factor
    from mbi.marginal_oracles import message_passing_shafer_shenoy

    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    domain = Domain(names, (2,) * len(names))
    cliques = [domain.canonical(pair) for pair in pairs]

    def potentials(one: np.ndarray) -> Any:
        factors = [Factor(domain.project(pair), jax.numpy.asarray(t)) for pair, t in zip(pairs, one, strict=True)]
        by_clique = {clique: factor.transpose(clique) for clique, factor in zip(cliques, factors, strict=True)}
        return CliqueVector(domain, cliques, by_clique)

    sets = [potentials(one) for one in tables]
    began = time.perf_counter()
    jax.block_until_ready(message_passing_shafer_shenoy(sets[0]))
    first = time.perf_counter() - began
    work = seconds(lambda: [message_passing_shafer_shenoy(one) for one in sets], 1) / len(sets)
    return {"all marginals": work, "all marginals, the first call": first}


def main() -> None:
    """Time both graphs and print the seconds."""
    for name, pairs in (("chain of 200", chain()), ("10 × 10 grid", grid())):
        tables = jax.random.normal(jax.random.key(0), (BATCH, len(pairs), 2, 2))
        order = graphical.elimination_order(model(pairs, tables[0]))
        print(f"{name}: {len(pairs)} potentials, width {order.width}, largest table {order.entries}")
        for what, taken in ours(pairs, tables).items():
            print(f"  jaxgen, {BATCH} sets in one call, {what}: {taken:.4f} s")
        for peer in (pgmpy, mbi):
            if importlib.util.find_spec(peer.__name__) is None:
                print(f"  {peer.__name__}: not installed")
                continue
            for what, taken in peer(pairs, np.asarray(tables[:PEER_SETS])).items():
                print(f"  {peer.__name__}, one set, {what}: {taken:.4f} s")


if __name__ == "__main__":
    main()

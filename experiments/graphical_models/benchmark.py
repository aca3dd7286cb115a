"""Seconds of exact inference: `python -m experiments.graphical_models.benchmark`.

A chain of 200 and a 10 × 10 grid of binary variables, 64 sets of potentials in one call: log Z, and all marginals as
its gradient. Beside them, where they are installed, mbi (private-pgm) in one call too, and pgmpy with one set.
"""

import importlib.util
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgen import graphical

BATCH, ROUNDS = 64, 5

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


class Taken(NamedTuple):
    """Wall seconds and processor seconds, which a busy machine changes less."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:.4g} s (processors {self.processor:.4g} s)"


def seconds(work: Callable[[], Any], rounds: int = ROUNDS) -> Taken:
    """The median duration of work."""
    taken = []
    for _ in range(rounds):
        began, processor = time.perf_counter(), time.process_time()
        jax.block_until_ready(work())
        taken.append((time.perf_counter() - began, time.process_time() - processor))
    return Taken(*np.median(taken, 0).tolist())


def compiled(ask: Callable[[Any], Any], sets: Any) -> tuple[Callable[[], Any], Taken]:
    """A function of no argument that answers for all sets of potentials in one call, and what compiling it took."""
    made = []
    taken = seconds(lambda: made.append(jax.jit(jax.vmap(ask)).lower(sets).compile()), 1)
    made[0](sets)
    return lambda: made[0](sets), taken


def ours(pairs: Pairs, tables: jax.Array) -> tuple[np.ndarray, dict[str, Taken]]:
    """Every edge's marginal in all sets of potentials, and what it and log Z took."""
    graphs = model(pairs, tables[0]).replace(log_potentials=tuple(tables[:, i] for i in range(len(pairs))))
    log_z, first = compiled(graphical.log_partition, graphs)
    marginals, second = compiled(graphical.factor_marginals, graphs)
    return np.stack(marginals(), 1), {
        "log Z, compilation": first,
        "log Z": seconds(log_z),
        "all marginals, compilation": second,
        "all marginals": seconds(marginals),
    }


def mbi(pairs: Pairs, tables: jax.Array) -> tuple[np.ndarray, dict[str, Taken]]:
    """The same by Shafer–Shenoy message passing in mbi."""
    from mbi import CliqueVector, Domain, Factor
    from mbi.marginal_oracles import message_passing_shafer_shenoy

    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    domain = Domain(names, (2,) * len(names))

    def ask(sets: list[jax.Array]) -> list[jax.Array]:
        factors = {pair: Factor(domain.project(pair), t) for pair, t in zip(pairs, sets, strict=True)}
        found = message_passing_shafer_shenoy(CliqueVector(domain, pairs, factors))
        return [found[pair].transpose(pair).values for pair in pairs]

    marginals, first = compiled(ask, [tables[:, i] for i in range(len(pairs))])
    return np.stack(marginals(), 1), {"all marginals, compilation": first, "all marginals": seconds(marginals)}


def pgmpy(pairs: Pairs, tables: jax.Array) -> tuple[np.ndarray, dict[str, Taken]]:
    """The same by a junction tree in pgmpy, for one set of potentials."""
    from pgmpy.factors.discrete import DiscreteFactor
    from pgmpy.inference import BeliefPropagation
    from pgmpy.models import DiscreteMarkovNetwork

    found = []

    def work() -> None:
        network = DiscreteMarkovNetwork(pairs)
        network.add_factors(
            *(
                DiscreteFactor(list(pair), [2, 2], np.exp(t))
                for pair, t in zip(pairs, np.asarray(tables[0]), strict=True)
            )
        )
        tree = BeliefPropagation(network)
        tree.calibrate()
        beliefs = tree.get_clique_beliefs()
        for pair in pairs:
            clique = next(clique for clique in beliefs if set(pair) <= set(clique))
            rest = [name for name in clique if name not in pair]
            table = beliefs[clique].marginalize(rest, inplace=False) if rest else beliefs[clique]
            values = table.values if tuple(table.variables) == pair else table.values.T
            found.append(values / values.sum())

    taken = seconds(work, 1)
    return np.stack(found)[None], {"all marginals": taken}


def main() -> None:
    """Time both graphs and print the seconds."""
    for name, pairs in (("chain of 200", chain()), ("10 × 10 grid", grid())):
        tables = jax.random.normal(jax.random.key(0), (BATCH, len(pairs), 2, 2))
        order = graphical.elimination_order(model(pairs, tables[0]))
        print(f"{name}: {len(pairs)} potentials, width {order.width}, largest table {order.entries}", flush=True)
        exact, taken = ours(pairs, tables)
        show(f"jaxgen, {BATCH} sets in one call", taken)
        for peer in (mbi, pgmpy):
            if importlib.util.find_spec(peer.__name__) is None:
                print(f"  {peer.__name__}: not installed")
                continue
            try:
                found, taken = peer(pairs, tables)
            except MemoryError as error:
                print(f"  {peer.__name__}: out of memory ({error})")
                continue
            show(f"{peer.__name__}, {'one set' if len(found) == 1 else f'{len(found)} sets in one call'}", taken)
            print(f"  largest difference of a marginal: {np.abs(found - exact[: len(found)]).max():.2g}", flush=True)


def show(who: str, taken: dict[str, Taken]) -> None:
    """Print what a library took."""
    for what, each in taken.items():
        print(f"  {who}, {what}: {each}", flush=True)


if __name__ == "__main__":
    main()

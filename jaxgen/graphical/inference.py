"""Exact inference by variable elimination: log Z, and marginals and covariances as its derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.core import is_traced
from jaxgen.graphical._domain import Evidence
from jaxgen.graphical._graphs import Names, as_names, check_names
from jaxgen.graphical._min_fill import eliminate
from jaxgen.graphical.contraction import Tables, contract, join, logsumexp
from jaxgen.graphical.factors import FactorGraph, FactorStructure
from jaxgen.graphical.orders import MAX_ENTRIES, EliminationOrder, check_entries, elimination_order

Masks = dict[str, Array]


def log_partition(
    graph: FactorGraph, evidence: Evidence | None = None, *, order: EliminationOrder | None = None
) -> Float[Array, ""]:
    """log Z = log Σ_x Π_f φ_f(x_f), the sum over all assignments that agree with the evidence.

    It is exact, pure and differentiable. Its gradient with respect to the graph's log-potentials are the marginals of
    the factors. The difference of log Z with and without evidence is the log-probability of the evidence. Where a
    log-potential is −inf, or no assignment has a positive weight, derivatives are 0.

    Args:
        graph: the factor graph. Its log-potentials may be traced and batched by `jax.vmap`.
        evidence: for some variables the index of the observed state, its label, or a boolean mask (states,) of the
            states that are not ruled out. Indices and masks may be traced.
        order: an order of elimination; by default `elimination_order(graph)`.

    Returns:
        log Z in nats, −inf if no assignment agrees with the evidence.

    Raises:
        ValueError: if the evidence names an unknown variable or state, or a table of the elimination would be too
            large.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", algorithm 9.1 and proposition 20.2.

    Example:
        >>> log_z = jax.vmap(graphical.log_partition)(stacked_graphs)
        >>> factor_marginals = jax.grad(graphical.log_partition)(graph).log_potentials
    """
    masks, order = prepare(graph, evidence, order)
    return _log_partition(graph, masks, order)


def marginals(
    graph: FactorGraph, evidence: Evidence | None = None, *, order: EliminationOrder | None = None
) -> dict[str, Float[Array, " states"]]:
    """P(v | evidence) of every variable, as the gradient of log Z.

    Args:
        graph: the factor graph.
        evidence: as in `log_partition`.
        order: as in `log_partition`.

    Returns:
        The probabilities of each variable's states. Traced values with evidence of probability zero give zeros.

    Raises:
        ValueError: as in `log_partition`, or if the evidence has probability zero.
    """
    masks, order = prepare(graph, evidence, order)
    log_z, found = _marginals(graph, masks, order)
    check_possible(graph, log_z, evidence)
    return found


def factor_marginals(
    graph: FactorGraph, evidence: Evidence | None = None, *, order: EliminationOrder | None = None
) -> tuple[Float[Array, "..."], ...]:
    """P(x_f | evidence) of the variables of every factor, as the gradient of log Z.

    Args:
        graph: the factor graph.
        evidence: as in `log_partition`.
        order: as in `log_partition`.

    Returns:
        A table of the shape of each factor's own. Traced values with evidence of probability zero give zeros.

    Raises:
        ValueError: as in `log_partition`, or if the evidence has probability zero.
    """
    masks, order = prepare(graph, evidence, order)
    log_z, found = _factor_marginals(graph, masks, order)
    check_possible(graph, log_z, evidence)
    return found.log_potentials


def marginal(
    graph: FactorGraph, names: Names, evidence: Evidence | None = None, *, order: EliminationOrder | None = None
) -> Float[Array, "..."]:
    """P(names | evidence), the joint table of any variables.

    Args:
        graph: the factor graph.
        names: a variable or several.
        evidence: as in `log_partition`.
        order: an order of elimination of all other variables; by default `elimination_order(graph, keep=names)`.

    Returns:
        The table, with an axis for each of the names.

    Raises:
        ValueError: as in `log_partition`, or if a name is unknown or given twice, or the evidence has probability zero.
    """
    names = as_names(names)
    check_names(graph.names, *names)
    if len(set(names)) < len(names):
        raise ValueError(f"each variable can be asked for once, got {', '.join(names)}")
    if order is None:
        order = elimination_order(graph, keep=names)
    elif sorted([*order.names, *names]) != sorted(graph.names):
        raise ValueError(f"the order must eliminate all variables but {', '.join(names)}: pass keep to its function")
    masks, order = prepare(graph, evidence, order)
    log_z, table = _marginal(graph, masks, order, names)
    check_possible(graph, log_z, evidence)
    return table


def covariances(
    graph: FactorGraph, evidence: Evidence | None = None, *, order: EliminationOrder | None = None
) -> dict[str, dict[str, Float[Array, "states other_states"]]]:
    """Cov(1[v = i], 1[w = j] | evidence) of all pairs of variables, as the Hessian of log Z.

    Args:
        graph: the factor graph.
        evidence: as in `log_partition`.
        order: as in `log_partition`.

    Returns:
        The covariance P(v = i, w = j) − P(v = i) P(w = j) at [v][w][i, j], for v = w too.

    Raises:
        ValueError: as in `log_partition`, or if the evidence has probability zero.
    """
    masks, order = prepare(graph, evidence, order)
    log_z, found = _covariances(graph, masks, order)
    check_possible(graph, log_z, evidence)
    return found


def marginalise(graph: FactorGraph, names: Names) -> FactorGraph:
    """The factor graph of the other variables, when some are summed out.

    The factors that hold a variable are replaced by their sum over it. Z and the marginals of all that remains are
    unchanged.

    Args:
        graph: the factor graph.
        names: a variable or several to sum out, in this order.

    Returns:
        The factor graph without them. Summing out a variable whose factors have no other variable leaves a factor
        without variables, a constant.

    Raises:
        ValueError: if a name is unknown, or a table would be too large.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", definition 9.3.
    """
    names = as_names(names)
    check_names(graph.names, *names)
    _check_marginalisation(graph, names)
    return _marginalise(graph, names)


def prepare(
    graph: FactorGraph, evidence: Evidence | None, order: EliminationOrder | None
) -> tuple[Masks, EliminationOrder]:
    """The evidence as log-masks, and the order of elimination."""
    dtype = jnp.result_type(jnp.float32, *(table.dtype for table in graph.log_potentials))
    masks = graph.structure.domain.log_masks(evidence, dtype)
    return masks, elimination_order(graph) if order is None else order


def check_possible(graph: FactorGraph, log_z: Array, evidence: Evidence | None) -> None:
    """Raise ValueError if a concrete Z is zero."""
    if is_traced(log_z) or np.all(np.isfinite(log_z)):
        return
    if np.any(np.isnan(log_z)):
        raise ValueError("log Z is NaN: a log-potential is NaN, or a sum of log-potentials overflows their dtype")
    if not evidence or not np.isfinite(log_partition(graph)):
        raise ValueError("Z is zero: no assignment has a positive weight, check the potentials that are 0 (log −inf)")
    listed = ", ".join(f"{name} = {state}" for name, state in evidence.items())
    raise ValueError(f"the evidence {listed} has probability zero: no assignment that agrees with it has a weight")


def tables(graph: FactorGraph, masks: Masks | None = None) -> Tables:
    """The factors of a graph, and those of the evidence, with the variables of their axes."""
    unary = [((name,), mask) for name, mask in (masks or {}).items()]
    return [*zip(graph.scopes, graph.log_potentials, strict=True), *unary]


def table_sizes(graph: FactorGraph) -> dict[str, int]:
    """The number of states of each variable."""
    return dict(zip(graph.names, graph.structure.domain.sizes, strict=True))


@partial(jax.jit, static_argnames="order")
def _log_partition(graph: FactorGraph, masks: Masks, order: EliminationOrder) -> Float[Array, ""]:
    sizes = table_sizes(graph)
    _, left = contract(tables(graph, masks), order.names, sizes)
    return logsumexp(join(left, (), sizes)[None])  # a row of one, whose derivatives are 0 where Z is 0


@partial(jax.jit, static_argnames="order")
def _marginals(graph: FactorGraph, masks: Masks, order: EliminationOrder) -> tuple[Array, Masks]:
    return jax.value_and_grad(_log_partition, 1)(graph, masks, order)


@partial(jax.jit, static_argnames="order")
def _factor_marginals(graph: FactorGraph, masks: Masks, order: EliminationOrder) -> tuple[Array, FactorGraph]:
    return jax.value_and_grad(_log_partition)(graph, masks, order)


@partial(jax.jit, static_argnames=("order", "names"))
def _marginal(graph: FactorGraph, masks: Masks, order: EliminationOrder, names: tuple[str, ...]) -> tuple[Array, Array]:
    sizes = table_sizes(graph)
    _, left = contract(tables(graph, masks), order.names, sizes)
    table = join(left, names, sizes)
    log_z = logsumexp(table.reshape(-1))
    return log_z, jnp.exp(table - jnp.where(jnp.isfinite(log_z), log_z, 0))


@partial(jax.jit, static_argnames="order")
def _covariances(graph: FactorGraph, masks: Masks, order: EliminationOrder) -> tuple[Array, dict[str, Masks]]:
    def gradient(masks: Masks) -> tuple[Masks, Array]:
        log_z, found = _marginals(graph, masks, order)
        return found, log_z

    found, log_z = jax.jacfwd(gradient, has_aux=True)(masks)
    return log_z, found


@partial(jax.jit, static_argnames="names")
def _marginalise(graph: FactorGraph, names: tuple[str, ...]) -> FactorGraph:
    keep = [name for name in graph.names if name not in names]
    _, left = contract(tables(graph), names, table_sizes(graph))
    scopes, potentials = [], []
    for scope, table in left:
        if scope not in graph.scopes:  # a new one, whose axes come in the order of the variables
            axes = sorted(range(len(scope)), key=lambda axis: keep.index(scope[axis]))
            scope, table = tuple(scope[axis] for axis in axes), jnp.transpose(table, axes)
        scopes.append(scope)
        potentials.append(table)
    return FactorGraph(FactorStructure(graph.structure.domain.subset(keep), tuple(scopes)), tuple(potentials))


def _check_marginalisation(graph: FactorGraph, names: tuple[str, ...]) -> None:
    """Refuse tables that are too large."""
    undirected = graph.graph
    for clique in eliminate({name: set(undirected[name]) for name in graph.names}, names):
        check_entries(clique, graph.structure.domain.shape(clique), MAX_ENTRIES)

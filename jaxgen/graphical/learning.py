"""Learning from data: conditional tables by counts, potentials by maximum likelihood."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import as_float, check_at_least, check_not_negative, is_traced
from jaxgen.graphical._domain import Domain, States
from jaxgen.graphical._graphs import check_names
from jaxgen.graphical.bayesian import BayesianNetwork, Parents, bayesian_structure
from jaxgen.graphical.factors import FactorGraph
from jaxgen.graphical.inference import log_partition
from jaxgen.graphical.orders import EliminationOrder, elimination_order

Data = Mapping[str, ArrayLike]
"""The index of the state of each variable in every example, (n,), as `sample` returns."""


class PotentialFit(NamedTuple):
    """The potentials of largest likelihood.

    Attributes:
        graph: the factor graph with these potentials.
        log_likelihood: the mean log-probability of an example, (), in nats.
        gradient: the largest absolute difference of a factor's marginal under the data and under the model, with the
            penalty's part, ().
    """

    graph: FactorGraph
    log_likelihood: Float[Array, ""]
    gradient: Float[Array, ""]


def fit_tables(
    states: States, parents: Parents, data: Data, *, prior: ArrayLike = 1.0, weights: ArrayLike | None = None
) -> BayesianNetwork:
    """Learn the tables of a Bayesian network from complete data: the posterior mean under Dirichlet priors.

    P(v | parents) = (n(v, parents) + prior) / (n(parents) + prior · states of v).

    Args:
        states: the number of states of each variable, or their labels.
        parents: the parents of each variable; one without parents may be left out.
        data: the index of each variable's state in every example, (n,).
        prior: the pseudo-count ≥ 0 of every entry, (). 0 gives the tables of maximum likelihood.
        weights: how often each example counts, (n,), ≥ 0; by default once.

    Returns:
        The network.

    Raises:
        ValueError: if a variable has no data, the data have different lengths, a concrete state is out of range, prior
            is negative, or prior is 0 and a state of the parents never occurs; and as in `bayesian_network`.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", §17.2.3 and §17.4.1.2.
    """
    check_not_negative(prior=prior)
    structure = bayesian_structure(states, parents)
    columns, tables = _columns(structure.domain, data, weights), {}
    for name, of in zip(structure.domain.names, structure.parents, strict=True):
        counts = _counts(structure.domain, columns, (*of, name), weights) + prior
        total = counts.sum(-1, keepdims=True)
        if not is_traced(total) and np.any(np.asarray(total) == 0):
            place = np.argwhere(np.asarray(total)[..., 0] == 0)[0]
            where = ", ".join(f"{parent} = {i}" for parent, i in zip(of, place, strict=True))
            raise ValueError(f"no example has {where or 'any data'}, so P({name} | …) is undefined: give a prior > 0")
        tables[name] = counts / total
    return BayesianNetwork(structure, tables)


def empirical_marginals(
    graph: FactorGraph, data: Data, *, weights: ArrayLike | None = None
) -> tuple[Float[Array, "..."], ...]:
    """The share of examples at each entry of each factor's table.

    Args:
        graph: the factor graph; only its structure matters.
        data: the index of each variable's state in every example, (n,).
        weights: how often each example counts, (n,), ≥ 0; by default once.

    Returns:
        A table of the shape of each factor's own, which sums to 1.

    Raises:
        ValueError: if a variable has no data, the data have different lengths, or a concrete state is out of range.
    """
    domain = graph.structure.domain
    columns = _columns(domain, data, weights)
    examples = _counts(domain, columns, (), weights)
    return tuple(_counts(domain, columns, scope, weights) / examples for scope in graph.scopes)


def fit_potentials(
    graph: FactorGraph,
    data: Data,
    *,
    penalty: ArrayLike = 0.0,
    weights: ArrayLike | None = None,
    steps: int = 200,
    tolerance: float = 1e-5,
    order: EliminationOrder | None = None,
) -> PotentialFit:
    """Learn the log-potentials of a factor graph from complete data by maximum likelihood, with L-BFGS.

    The objective is concave. Its gradient is the factors' marginals under the data minus those under the model, the
    identity of every energy-based model, here without sampling. Log-potentials of −inf stay.

    Args:
        graph: the factor graph whose log-potentials are the start.
        data: the index of each variable's state in every example, (n,).
        penalty: λ ≥ 0 of the penalty λ/2 ‖log φ‖², (). Without it the optimum is at infinity if a factor's table has an
            entry that no example has.
        weights: how often each example counts, (n,), ≥ 0; by default once.
        steps: the largest number of steps, at least 1.
        tolerance: the largest entry of the gradient at which the steps end.
        order: as in `log_partition`.

    Returns:
        The factor graph with its likelihood, and how far it is from the optimum.

    Raises:
        ValueError: as in `empirical_marginals`, or if the penalty is negative, or an example has a potential of 0.

    Reference:
        Koller & Friedman 2009, "Probabilistic graphical models", §20.3; Liu & Nocedal 1989, "On the limited memory BFGS
        method for large scale optimization".
    """
    check_not_negative(penalty=penalty, tolerance=tolerance)
    check_at_least(1, steps=steps)
    observed = empirical_marginals(graph, data, weights=weights)
    free = tuple(jnp.isfinite(table) for table in graph.log_potentials)
    for scope, share, allowed in zip(graph.scopes, observed, free, strict=True):
        if not is_traced(share, allowed) and np.any((np.asarray(share) > 0) & ~np.asarray(allowed)):
            raise ValueError(f"examples have states that the factor ({', '.join(scope)}) forbids by log-potential −inf")
    order = elimination_order(graph) if order is None else order
    return _maximise(graph, observed, free, penalty, tolerance, steps, order)


@partial(jax.jit, static_argnames=("steps", "order"))
def _maximise(
    graph: FactorGraph,
    observed: tuple[Array, ...],
    free: tuple[Array, ...],
    penalty: ArrayLike,
    tolerance: ArrayLike,
    steps: int,
    order: EliminationOrder,
) -> PotentialFit:
    def model(params):
        return FactorGraph(graph.structure, tuple(jnp.where(f, p, -jnp.inf) for f, p in zip(free, params, strict=True)))

    def log_likelihood(params):
        score = sum(jnp.sum(o * p) for o, p in zip(observed, params, strict=True))
        return score - log_partition(model(params), order=order)

    def objective(params):
        return 0.5 * penalty * sum(jnp.sum(p**2) for p in params) - log_likelihood(params)

    optimizer = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(objective)

    def size(gradient):
        return jnp.max(jnp.stack([jnp.zeros(()), *(jnp.max(jnp.abs(g)) for g in gradient)]))

    def going(carry):
        _, _, gradient, i = carry
        return (i < steps) & (size(gradient) > tolerance)

    def step(carry):
        params, state, _, i = carry
        value, gradient = value_and_grad(params, state=state)
        updates, state = optimizer.update(gradient, state, params, value=value, grad=gradient, value_fn=objective)
        return optax.apply_updates(params, updates), state, optax.tree.get(state, "grad"), i + 1

    start = tuple(jnp.where(f, p, 0) for f, p in zip(free, graph.log_potentials, strict=True))
    carry = start, optimizer.init(start), jax.grad(objective)(start), 0
    params, _, gradient, _ = jax.lax.while_loop(going, step, carry)
    return PotentialFit(model(params), log_likelihood(params), size(gradient))


def _columns(domain: Domain, data: Data, weights: ArrayLike | None) -> dict[str, Array]:
    check_names(domain.names, *data)
    if missing := [name for name in domain.names if name not in data]:
        raise ValueError(f"no data of {', '.join(missing)}: complete data have a column for every variable")
    columns = {name: jnp.asarray(domain.index(name, data[name])) for name in domain.names}
    shapes = {name: column.shape for name, column in columns.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        raise ValueError(f"data must have one shape (n,) for all variables, got {shapes}")
    if 0 in next(iter(shapes.values()), (1,)):
        raise ValueError("data must have at least one example")
    if weights is not None:
        check_not_negative(weights=weights)
        if {jnp.shape(weights)} != set(shapes.values()):
            raise ValueError(f"weights must have the shape of the data, {shapes}, got {jnp.shape(weights)}")
    return columns


def _counts(
    domain: Domain, columns: Mapping[str, Array], scope: Sequence[str], weights: ArrayLike | None
) -> Float[Array, "..."]:
    shape = domain.shape(scope)
    each = jnp.ones(len(next(iter(columns.values()))), jnp.float32) if weights is None else as_float(weights)
    place = jnp.zeros(each.shape, int)
    if scope:
        place = jnp.ravel_multi_index(tuple(columns[name] for name in scope), shape, mode="clip")
    return jnp.bincount(place, each, length=math.prod(shape)).reshape(shape)

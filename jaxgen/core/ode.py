"""Differential equations through diffrax: solve a batch, count evaluations, and report why a solve failed."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Int

from jaxgen.core.precision import as_float
from jaxgen.core.tracing import is_traced


class Solution(NamedTuple):
    """The state at t1, and its cost: () for a batch with shared steps, (B,) where each sample has its own."""

    y: Any
    steps: Int[Array, "..."]  # rejected ones included
    evaluations: Int[Array, "..."] | None  # of the vector field; None where a step has no fixed number of them


def integrate(
    field: Callable[[Array, Any, Any], Any],
    y0: Any,
    t0: ArrayLike,
    t1: ArrayLike,
    *,
    args: Any = None,
    solver: diffrax.AbstractSolver | None = None,
    controller: diffrax.AbstractStepSizeController | None = None,
    first_step: ArrayLike | None = None,
    per_sample: bool = False,
    max_steps: int = 4096,
    adjoint: diffrax.AbstractAdjoint | None = None,
) -> Solution:
    """Solve dy/dt = field(t, y, args) for a batch, from y0 at t0 to t1, in either direction of time.

    With per_sample=False the batch shares one step size, chosen from the root mean square of its errors. Each step is
    one batched call, and a sample's result depends on its neighbours, within the tolerance. With per_sample=True each
    sample has its own steps and the same result in any batch; the slowest sample sets the cost. The field then sees
    batches of one under `vmap`. What belongs to a sample (its conditioning, its probes) must therefore be in args,
    because arrays that the field closes over are not split.

    State and time are float32 or wider, as y0 is. An eager call compiles each time; inside `jax.jit` it compiles once.

    Args:
        field: the vector field, a function of t (), y and args. What it closes over is differentiated too.
        y0: initial state, a pytree of arrays (B, ...).
        t0: initial time.
        t1: final time.
        args: a pytree of arrays (B, ...), passed to the field.
        solver: the method; Tsit5() by default.
        controller: the choice of step sizes; PIDController(rtol=1e-5, atol=1e-5) by default.
        first_step: length of the first step, positive, and of all steps under ConstantStepSize, which needs it. A
            hundredth of the interval by default.
        per_sample: whether each sample has its own step size.
        max_steps: the most steps that may be taken.
        adjoint: how to differentiate; by default backwards through the steps, storing about log(max_steps) states.

    Returns:
        The state at t1 and the numbers of steps and evaluations.

    Raises:
        ValueError: if the arrays of y0 and args have no common leading axis, first_step is not positive and finite, or
            ConstantStepSize has no first_step.
        RuntimeError: if max_steps are not enough or the solver fails. It is raised at run time, also under jit.

    Example:
        >>> core.integrate(lambda t, y, args: -y, jnp.ones((3, 2)), 0.0, 1.0).y  # exp(-1)
    """
    solver = diffrax.Tsit5() if solver is None else solver
    controller = diffrax.PIDController(rtol=1e-5, atol=1e-5) if controller is None else controller
    y0, args = jax.tree.map(as_float, y0), jax.tree.map(jnp.asarray, args)
    _check_batch(y0, args)
    dtype = jnp.result_type(*jax.tree.leaves(y0))
    t0, t1 = jnp.asarray(t0, dtype), jnp.asarray(t1, dtype)

    def batch_field(t: Array, y: Any, args: Any) -> Any:
        return jax.tree.map(lambda rate, y: rate.astype(y.dtype), field(t, y, args), y)

    def sample_field(t: Array, y: Any, args: Any) -> Any:
        y, args = jax.tree.map(lambda leaf: leaf[None], (y, args))
        return jax.tree.map(lambda rate: jnp.squeeze(rate, 0), batch_field(t, y, args))

    # makes closed-over arrays leaves of the term, so that jit, vmap and every adjoint see them
    example = jax.tree.map(lambda leaf: leaf[0], (y0, args)) if per_sample else (y0, args)
    converted = eqx.filter_closure_convert(sample_field if per_sample else batch_field, t0, *example)

    def one_solve(y: Any, args: Any) -> Solution:
        return solve(
            diffrax.ODETerm(converted), y, t0, t1, args, solver, controller, first_step, max_steps, adjoint=adjoint
        )

    return jax.vmap(one_solve)(y0, args) if per_sample else one_solve(y0, args)


def solve(
    terms: Any,
    y0: Any,
    t0: Array,
    t1: Array,
    args: Any,
    solver: diffrax.AbstractSolver,
    controller: diffrax.AbstractStepSizeController,
    first_step: ArrayLike | None,
    max_steps: int,
    adjoint: diffrax.AbstractAdjoint | None = None,
) -> Solution:
    """Call `diffrax.diffeqsolve`, count evaluations, and raise errors that say what to do.

    Args:
        terms: diffrax terms of an ODE or an SDE.
        y0: initial state, a pytree of arrays; it needs no batch axis.
        t0: initial time, ().
        t1: final time, ().
        args: a pytree, passed to the terms.
        solver: the method.
        controller: the choice of step sizes.
        first_step: as in `integrate`.
        max_steps: as in `integrate`.
        adjoint: as in `integrate`.

    Returns:
        The state at t1 and the numbers of steps and evaluations.

    Raises:
        ValueError: if first_step is not positive and finite, or ConstantStepSize has no first_step.
        RuntimeError: as `integrate` does.
    """
    cost = evaluations_per_step(solver)
    sol = diffrax.diffeqsolve(
        terms,
        solver,
        t0,
        t1,
        _signed_step(controller, first_step, t0, t1),
        y0,
        args,
        saveat=diffrax.SaveAt(t1=True, controller_state=True),
        stepsize_controller=controller if cost is None else _CountFreshStarts(controller),
        adjoint=diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint,
        max_steps=max_steps,
        throw=False,
    )
    y = eqx.error_if(
        jax.tree.map(lambda path: path[0], sol.ys),
        sol.result == diffrax.RESULTS.max_steps_reached,
        f"the solver did not arrive within {max_steps=}: raise it, loosen the controller's rtol and atol, take another "
        "solver, or look for a vector field that is not finite on the way",
    )
    y = sol.result.error_if(y, sol.result != diffrax.RESULTS.successful)
    steps = sol.stats["num_steps"]
    if cost is None:
        return Solution(y, steps, None)
    return Solution(y, steps, cost.per_step * steps + cost.per_fresh_start * sol.controller_state.fresh_starts)


class StepCost(NamedTuple):
    """Evaluations of the vector field by one step."""

    per_step: int
    per_fresh_start: int  # in addition, where the last stage of the step before does not give the field at the start


def evaluations_per_step(solver: diffrax.AbstractSolver) -> StepCost | None:
    """The cost of a step of an explicit solver; None where steps differ in cost, as in implicit solvers."""
    match solver:
        case diffrax.HalfSolver():
            inner = evaluations_per_step(solver.solver)
            return inner and StepCost(3 * inner.per_step, 2 * inner.per_fresh_start)
        case diffrax.AbstractERK() if isinstance(solver.tableau, diffrax.ButcherTableau):
            stages, kept = solver.tableau.num_stages, int(solver.tableau.fsal)
            return StepCost(stages - kept, kept)
        case diffrax.AbstractSRK():
            skipped = solver.tableau.ignore_stage_f
            return StepCost(len(solver.tableau.b_sol) - (0 if skipped is None else int(np.sum(skipped))), 0)
        case diffrax.Euler() | diffrax.EulerHeun():
            return StepCost(1, 0)
    return None


class _FreshStartState(NamedTuple):
    inner: Any
    fresh: Array  # whether the next step must evaluate the field at its start
    fresh_starts: Array


class _CountFreshStarts(diffrax.AbstractStepSizeController):
    """A controller that counts fresh starts: the first step, its repetitions after rejection, steps after a jump."""

    inner: diffrax.AbstractStepSizeController

    def wrap(self, direction: Any) -> "_CountFreshStarts":
        return _CountFreshStarts(self.inner.wrap(direction))

    def init(self, *arguments: Any) -> tuple[Any, _FreshStartState]:
        t1, state = self.inner.init(*arguments)
        return t1, _FreshStartState(state, jnp.asarray(True), jnp.asarray(0))

    def adapt_step_size(self, *arguments: Any) -> tuple[Any, ...]:
        *arguments, (inner, fresh, starts) = arguments
        keep, t0, t1, jumped, inner, result = self.inner.adapt_step_size(*arguments, inner)
        state = _FreshStartState(inner, jnp.where(keep, jumped, fresh), starts + fresh)
        return keep, t0, t1, jumped, state, result


def _signed_step(
    controller: diffrax.AbstractStepSizeController, length: ArrayLike | None, t0: Array, t1: Array
) -> Array | None:
    if isinstance(controller, diffrax.StepTo):
        return None
    if length is None:
        if isinstance(controller, diffrax.ConstantStepSize):
            raise ValueError("ConstantStepSize needs first_step, the length of every step: e.g. first_step=0.01")
        return (t1 - t0) / 100
    if not is_traced(length) and not (np.ndim(length) == 0 and 0 < float(length) < math.inf):
        raise ValueError(f"first_step is a positive length, whichever way time runs; got {length}")
    return jnp.where(t1 < t0, -1, 1) * jnp.asarray(length, t0.dtype)


def _check_batch(y0: Any, args: Any) -> None:
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves((y0, args))]
    if not shapes or any(shape[:1] != shapes[0][:1] or not shape for shape in shapes):
        raise ValueError(f"every array of y0 and args needs the same leading axis (B, ...), got shapes {shapes}")

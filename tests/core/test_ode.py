"""ODEs through diffrax: exact solutions and gradients, the count of evaluations, errors that say what to do."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly, slow

from jaxgen.core import integrate
from jaxgen.core.ode import evaluations_per_step

PID = diffrax.PIDController(rtol=1e-5, atol=1e-5)
Y0 = jnp.array([[1.0, -2.0], [0.5, 3.0], [100.0, 0.1]])


def decay(t, y, args):
    """dy/dt = −2t y, so y(t) = y(0) e^{−t²}."""
    return -2 * t * y


class Counted:
    """dy/dt = −rate y, counting how often it is run."""

    def __init__(self, rate):
        self.calls, self.rate = 0, rate

    def add(self, t):
        self.calls += 1

    def __call__(self, t, y, args):
        jax.debug.callback(self.add, t)
        return -self.rate * y


SOLVERS = {
    "dopri5": (diffrax.Dopri5(), PID),  # the first stage is the last of the step before
    "tsit5": (diffrax.Tsit5(), PID),
    "bosh3": (diffrax.Bosh3(), PID),
    "dopri8": (diffrax.Dopri8(), PID),
    "heun": (diffrax.Heun(), diffrax.PIDController(rtol=1e-4, atol=1e-4)),
    "halved_euler": (diffrax.HalfSolver(diffrax.Euler()), diffrax.PIDController(rtol=1e-3, atol=1e-3)),
    "halved_bosh3": (diffrax.HalfSolver(diffrax.Bosh3()), PID),
    "jumps": (diffrax.Dopri5(), diffrax.ClipStepSizeController(PID, jump_ts=jnp.array([0.3, 0.6]))),
    "rejections_kept": (diffrax.Dopri5(), diffrax.ClipStepSizeController(PID, store_rejected_steps=50)),
    "step_to": (diffrax.Dopri5(), diffrax.StepTo(jnp.linspace(0, 1, 60))),
    "euler": (diffrax.Euler(), diffrax.ConstantStepSize()),
    "midpoint": (diffrax.Midpoint(), diffrax.ConstantStepSize()),
}


@pytest.mark.parametrize("name", [name if name == "dopri5" else slow(name) for name in SOLVERS])
def test_evaluations_are_counted_exactly(name):
    solver, controller = SOLVERS[name]
    field = Counted(150.0)  # stiff enough that the first steps are rejected
    first = 0.01 if isinstance(controller, diffrax.ConstantStepSize) else None
    found = integrate(field, Y0, 0.0, 1.0, solver=solver, controller=controller, first_step=first)
    jax.effects_barrier()
    assert found.evaluations == field.calls > found.steps * (1 if "euler" in name else 1.9) - 1
    if first is not None:
        assert found.steps == 100


@nightly("first_step", [None, 1e-4, 0.5])
def test_repeated_first_steps_are_counted(first_step):
    field = Counted(40.0)
    found = integrate(field, Y0, 1.0, 0.0, first_step=first_step)
    jax.effects_barrier()
    assert found.evaluations == field.calls


@pytest.mark.slow
def test_implicit_solvers_have_no_fixed_price():
    found = integrate(decay, Y0, 0.0, 1.0, solver=diffrax.Kvaerno5())
    assert found.evaluations is None
    assert found.steps > 3
    np.testing.assert_allclose(found.y, Y0 * np.exp(-1), rtol=1e-4)
    assert evaluations_per_step(diffrax.HalfSolver(diffrax.ImplicitEuler())) is None


WAYS = [
    (None, None, None, 1e-4),
    (diffrax.Heun(), diffrax.ConstantStepSize(), 0.01, 1e-3),
    (diffrax.Tsit5(), diffrax.PIDController(rtol=1e-6, atol=1e-6), 0.1, 1e-4),
    (diffrax.Kvaerno3(), diffrax.PIDController(rtol=1e-3, atol=1e-4), None, 5e-3),
    (diffrax.Euler(), diffrax.ConstantStepSize(), 1e-3, 3e-3),
]


ENDS = ((0.0, 1.0), True), ((1.0, 0.0), False), ((1.0, 0.0), True)
CASES = [(*ends, *way) for ends in ENDS for way in WAYS]


@pytest.mark.parametrize(
    ("ends", "per_sample", "solver", "controller", "first_step", "tolerance"),
    [case if i == 6 else slow(*case) for i, case in enumerate(CASES)],
)
def test_the_solution_both_ways(ends, per_sample, solver, controller, first_step, tolerance):
    found = integrate(
        decay, Y0, *ends, solver=solver, controller=controller, first_step=first_step, per_sample=per_sample
    )
    np.testing.assert_allclose(found.y, Y0 * np.exp(ends[0] ** 2 - ends[1] ** 2), rtol=tolerance)
    assert found.y.dtype == jnp.float32
    assert found.steps.shape == ((3,) if per_sample else ())


@pytest.mark.slow
def test_errors_fall_with_the_tolerance():
    with jax.enable_x64(True):
        y0 = Y0.astype(jnp.float64)
        errors, costs = [], []
        pid = lambda tolerance: diffrax.PIDController(rtol=tolerance, atol=tolerance)
        run = jax.jit(lambda tolerance: integrate(decay, y0, 0.0, 2.0, controller=pid(tolerance)))
        for tolerance in (1e-4, 1e-7, 1e-10):
            found = run(tolerance)
            assert found.y.dtype == jnp.float64
            errors.append(np.max(np.abs(found.y / (y0 * np.exp(-4)) - 1)))
            costs.append(int(found.evaluations))
    assert errors[0] > 50 * errors[1] > 2500 * errors[2]
    assert errors[2] < 1e-6
    assert costs[0] < costs[1] < costs[2]


@pytest.mark.slow
def test_float32_stays_so_under_x64_and_bfloat16_is_widened():
    with jax.enable_x64(True):
        wide = np.float64(2.0)
        assert integrate(lambda t, y, args: -wide * y * jnp.ones_like(y, jnp.float64), Y0, 0.0, 1.0).y.dtype == "f4"
    assert integrate(decay, Y0.astype(jnp.bfloat16), 0.0, 1.0).y.dtype == jnp.float32


@nightly("per_sample", [False, True])
def test_pytrees_and_what_belongs_to_a_sample(per_sample):
    rates = jnp.array([1.0, 5.0, 30.0])

    def field(t, y, args):
        (rates,) = args
        assert len(rates) == len(y["a"])
        return {"a": -rates[:, None] * y["a"], "b": jnp.sum(y["a"], -1)}

    y0 = {"a": Y0, "b": jnp.zeros(3)}
    found = integrate(field, y0, 0.0, 1.0, args=(rates,), per_sample=per_sample)
    np.testing.assert_allclose(found.y["a"], Y0 * np.exp(-rates)[:, None], rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(found.y["b"], Y0.sum(-1) * (1 - np.exp(-rates)) / rates, rtol=1e-3)
    assert not per_sample or found.steps[0] < found.steps[2]


def towards_zero(t, y, args):
    """dy/dt = −y² sign(y), so y(1) = y(0)/(1 + |y(0)|)."""
    return -(y**2) * jnp.sign(y)


@pytest.mark.slow
def test_a_sample_with_its_own_steps_is_the_same_in_any_batch():
    solution = jax.jit(lambda y0: integrate(towards_zero, y0, 0.0, 1.0, per_sample=True))
    batch = solution(Y0)
    np.testing.assert_allclose(batch.y, Y0 / (1 + np.abs(Y0)), rtol=2e-4)
    for i in range(3):
        alone = solution(Y0[i : i + 1])
        # rounding differs with the batch, and with it the lengths of steps, within tolerance
        np.testing.assert_allclose(alone.y[0], batch.y[i], rtol=5e-5)
        assert alone.steps == batch.steps[i]
        assert alone.evaluations == batch.evaluations[i]


@pytest.mark.slow
def test_a_batch_of_one_shares_its_steps_with_itself():
    own = integrate(towards_zero, Y0, 0.0, 1.0, per_sample=True)
    shared = jax.jit(lambda y0: integrate(towards_zero, y0, 0.0, 1.0))
    np.testing.assert_allclose(shared(Y0).y, Y0 / (1 + np.abs(Y0)), rtol=2e-4)
    for i in range(3):
        one = shared(Y0[i : i + 1])
        np.testing.assert_allclose(one.y[0], own.y[i], rtol=5e-5)
        assert one.evaluations == own.evaluations[i]


@nightly(("adjoint", "per_sample"), [(None, False), (None, True), (diffrax.BacksolveAdjoint(), False)])
def test_gradients_of_what_the_field_closes_over(adjoint, per_sample):
    """y(1) = y0 e^{−k}: d Σy/dk = −Σ y0 e^{−k}, d Σy/dy0 = e^{−k}."""

    def total(k, y0):
        return integrate(lambda t, y, args: -k * y, y0, 0.0, 1.0, per_sample=per_sample, adjoint=adjoint).y.sum()

    by_k, by_y0 = jax.jit(jax.grad(total, (0, 1)))(jnp.float32(1.3), Y0)
    np.testing.assert_allclose(by_k, -Y0.sum() * np.exp(-1.3), rtol=3e-4)
    np.testing.assert_allclose(by_y0, np.full((3, 2), np.exp(-1.3)), rtol=3e-4)


@pytest.mark.slow
def test_forward_mode_gradients():
    def total(k):
        return integrate(lambda t, y, args: -k * y, Y0, 0.0, 1.0, adjoint=diffrax.ForwardMode()).y.sum()

    _, tangent = jax.jvp(total, (jnp.float32(1.3),), (jnp.float32(1.0),))
    np.testing.assert_allclose(tangent, -Y0.sum() * np.exp(-1.3), rtol=3e-4)


@pytest.mark.parametrize(
    ("wrap", "per_sample"), [(jax.jit, True), slow(lambda f: f, False), slow(eqx.filter_jit, False)]
)
def test_too_few_steps_say_what_to_do(wrap, per_sample):
    with pytest.raises(RuntimeError, match=r"within max_steps=4: raise it, loosen the controller's rtol and atol"):
        jax.block_until_ready(wrap(lambda y0: integrate(decay, y0, 0.0, 1.0, max_steps=4, per_sample=per_sample))(Y0))


@nightly("wrap", [lambda f: f, jax.jit])
def test_other_failures_of_the_solver_are_raised(wrap):
    controller = diffrax.PIDController(rtol=1e-6, atol=1e-6, dtmin=0.05, force_dtmin=False)
    with pytest.raises(RuntimeError, match="minimum step size was reached"):
        jax.block_until_ready(
            wrap(lambda y0: integrate(lambda t, y, args: -100 * y, y0, 0.0, 1.0, controller=controller))(Y0)
        )


@pytest.mark.slow
def test_a_field_that_is_not_finite_is_raised():
    with pytest.raises(RuntimeError, match="not finite on the way"):
        integrate(lambda t, y, args: y / (t - t), Y0, 0.0, 1.0, max_steps=50)


def test_refusals():
    fixed = diffrax.ConstantStepSize()
    with pytest.raises(ValueError, match="needs first_step"):
        integrate(decay, Y0, 0.0, 1.0, controller=fixed)
    for wrong in (-0.1, 0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive length"):
            integrate(decay, Y0, 1.0, 0.0, controller=fixed, first_step=wrong)
    for y0, args in ((jnp.float32(1.0), None), (Y0, jnp.ones(2)), ((Y0, jnp.ones(4)), None), (None, None)):
        with pytest.raises(ValueError, match="same leading axis"):
            integrate(decay, y0, 0.0, 1.0, args=args)

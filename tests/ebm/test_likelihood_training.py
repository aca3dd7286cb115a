"""Maximum likelihood by Markov chains against laws in closed form: E = θx²/2, whose chains are affine."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from refusals import refuses

from jaxgen import ebm, mcmc
from jaxgen.distributions import Gaussian, Uniform, standard_normal
from jaxgen.nets import EnergyMLP
from jaxgen.training import Checkpoints, Diverged, create_state, fit, make_train_step

N = 20_000
KEYS = jax.random.split(jax.random.key(0), N)


def quadratic(theta, x):
    """E = θ ‖x‖²/2."""
    return theta * jnp.sum(x**2, axis=tuple(range(1, x.ndim))) / 2


def adjusted(step_size):
    return lambda energy: mcmc.mala(lambda x: -energy(x), step_size)


def train(objective, theta, data, *, steps, batch=512, rate=0.1):
    """θ averaged over the second half of training; data is a function (key, n) -> x."""
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps, 0.05), b1=0.5)
    step = make_train_step(objective.loss, optimizer, ema=None)
    state = create_state(jax.random.key(1), jnp.asarray(theta, jnp.float32), optimizer, objective.carry)

    def body(state, i):
        state, _ = step(state, data(jax.random.fold_in(jax.random.key(2), i), batch))
        return state, state.params

    state, path = jax.lax.scan(body, state, jnp.arange(steps))
    return np.asarray(path[steps // 2 :]).mean(0), state


@pytest.mark.parametrize("temperature", [1.0, pytest.param(0.2, marks=pytest.mark.slow)])
def test_unadjusted_langevin_settles_at_its_own_variance(temperature):
    """T/(θ(1 − εθ/4)), which is 1/(θ(1 − ε²θ/4)) where a step is written ε²."""
    theta, epsilon = 2.0, 0.7
    chain = ebm.langevin_chain(epsilon, temperature=temperature)(partial(quadratic, theta))
    start = jnp.sqrt(temperature / theta) * jax.random.normal(jax.random.key(1), (N, 2))
    x = mcmc.advance(KEYS, chain, start, 12)
    settled = temperature / (theta * (1 - epsilon * theta / 4))
    np.testing.assert_allclose(np.var(x), settled, rtol=5 / np.sqrt(N))
    assert abs(temperature / theta / settled - 1) > 0.3  # far from the model's own


@pytest.mark.slow
def test_short_runs_learn_a_sampler_whose_energy_is_that_of_no_density():
    """θ = −108: 100 steps with ε² = 1e-4 from U(−1, 1) end with the data's variance 1, and e^{108x²/2} has no integral.

    v_K = A^{2K} v₀ + (1 − A^{2K}) v_∞ with A = 1 − ε²θ/2 and v₀ = ⅓.
    """
    objective = ebm.maximum_likelihood(
        quadratic, ebm.langevin_chain(1e-4), ebm.short_run_chains(Uniform(-1.0, 1.0)), steps=100
    )
    normal = lambda key, n: jax.random.normal(key, (n, 1))
    theta, _ = train(objective, -80.0, normal, steps=60, batch=2048, rate=4.0)
    growth = (1 + 0.5e-4 * 108) ** 200
    settled = 1 / (-108 * (1 + 1e-4 * 108 / 4))
    assert abs(growth / 3 + (1 - growth) * settled - 1) < 0.01  # the fixed point of the references
    # d log v/dθ = −.01, and the variance of 30 × 2048 draws is known to .6 %
    assert abs(theta + 108) < 2


@pytest.mark.parametrize("kind", ["persistent", pytest.param("data", marks=pytest.mark.slow)])
def test_chains_that_leave_the_model_invariant_find_the_maximum_likelihood(kind):
    """θ* = 1/v; contrastive divergence is unbiased there as well."""
    v = 0.5
    data = lambda key, n: np.sqrt(v) * jax.random.normal(key, (n, 2))
    persistent = ebm.persistent_chains(jax.random.key(3), standard_normal(), (2,), size=2048, reinitialise=0.0)
    starts = persistent if kind == "persistent" else ebm.data_chains()
    theta, state = train(ebm.maximum_likelihood(quadratic, adjusted(0.8), starts, steps=2), 1.0, data, steps=300)
    # the variance of θ̂ is θ²/(batches · batch) for exact draws; persistent ones repeat after 2048/512 batches
    assert abs(theta - 1 / v) < 0.06
    if state.carry:
        np.testing.assert_allclose(np.var(state.carry["buffer"]), v, rtol=0.15)


def test_the_buffer_keeps_the_ends_of_chains_and_starts_some_anew():
    size, share = 64, 0.25
    starts = ebm.persistent_chains(
        jax.random.key(0), Gaussian(jnp.full(3, 100.0), jnp.ones(3)), (3,), size=size, reinitialise=share
    )
    carry = {"buffer": jnp.zeros((size, 3))}
    draw = jax.jit(lambda key: starts.draw(key, carry, jnp.zeros((32, 3))))
    fresh = []
    for i in range(40):
        x, slots = draw(jax.random.key(i))
        assert len(set(slots.tolist())) == 32  # no entry is written twice
        assert ((x == 0).all(-1) | (x > 50).all(-1)).all()
        fresh.append((x > 50).all(-1).mean())
    assert abs(np.mean(fresh) - share) < 5 * np.sqrt(share * (1 - share) / 32 / 40)
    kept = starts.keep(carry, slots, jnp.ones((32, 3)))["buffer"]
    np.testing.assert_array_equal(np.asarray(kept[:, 0]) == 1, np.isin(np.arange(size), slots))
    assert starts.carry["buffer"].shape == (size, 3)
    np.testing.assert_allclose(starts.carry["buffer"].mean(), 100, atol=5 / np.sqrt(3 * size))


def test_a_resumed_run_is_the_run_that_was_never_stopped(tmp_path):
    """Bit for bit: parameters, averages, and the replay buffer."""
    net = EnergyMLP((8, 8))
    starts = ebm.persistent_chains(jax.random.key(0), Uniform(-2.0, 2.0), (2,), size=40)
    objective = ebm.maximum_likelihood(
        net.apply, ebm.langevin_chain(0.05), starts, steps=3, regularisation=0.1, data_noise=0.03
    )
    optimizer = optax.adam(1e-2)
    step = make_train_step(objective.loss, optimizer)
    batches = lambda n: jax.random.normal(jax.random.fold_in(jax.random.key(5), n), (16, 2))
    begin = lambda: create_state(
        jax.random.key(1), net.init(jax.random.key(2), jnp.zeros((1, 2))), optimizer, objective.carry
    )
    whole = fit(step, begin(), batches, steps=7, progress=False).state
    fit(step, begin(), batches, steps=4, checkpoints=(first := Checkpoints(tmp_path)), progress=False)
    first.close()
    with Checkpoints(tmp_path) as checkpoints:
        resumed = fit(step, checkpoints.restore(begin()), batches, steps=7, progress=False).state
    for a, b in zip(jax.tree.leaves(whole.replace(key=0)), jax.tree.leaves(resumed.replace(key=0)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (whole.carry["buffer"] != objective.carry["buffer"]).any()


def test_spectral_normalisation_advances_once_an_update():
    """Its state lies in the carry, and a chain of any length leaves it as it is."""
    net, x = EnergyMLP((4,), spectral_norm=True), jax.random.normal(jax.random.key(0), (8, 2))
    variables = net.init(jax.random.key(1), x)

    def energy(params, x, state):
        values, new = net.apply({"params": params, "batch_stats": state}, x, update_stats=True, mutable=["batch_stats"])
        return values, new["batch_stats"]

    stats, params = variables["batch_stats"], variables["params"]
    objective = ebm.maximum_likelihood(energy, ebm.langevin_chain(0.1), ebm.data_chains(), steps=5, energy_state=stats)
    assert objective.carry.keys() == {"energy_state"}
    _, _, carry = objective.loss(jax.random.key(2), params, x, **objective.carry)
    once = energy(params, x, stats)[1]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), carry["energy_state"], once)
    leaves = jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), once, stats))
    assert max(leaves) > 1e-4


def test_steps_are_clipped_and_stay_within_bounds():
    chain = ebm.langevin_chain(2.0, temperature=0.0, clip_gradient=0.25, bounds=(-1.0, 0.9))(partial(quadratic, 3.0))
    x = jnp.array([[0.05, 1.0], [-2.0, 10.0]])
    moved = chain.step(KEYS[:2], x)
    np.testing.assert_allclose(moved, [[0.05 - 0.15, 0.75], [-1.0, 0.9]], rtol=1e-5)


def test_regularisation_and_where_the_gradient_flows():
    """α(E² + E⁻²) adds 2αE∇E; negatives are constants, and data are not."""
    x, negatives, theta, alpha = jnp.array([[1.0], [2.0]]), jnp.array([[3.0], [0.5]]), 0.7, 0.1
    losses = lambda theta, x, negatives: ebm.contrastive_losses(
        partial(quadratic, theta), x, negatives, regularisation=alpha
    )[0].mean()
    by_theta, by_x, by_negatives = jax.grad(losses, (0, 1, 2))(theta, x, negatives)
    slopes = np.array([0.5, 2.0]), np.array([4.5, 0.125])
    expected = np.mean(slopes[0] - slopes[1] + 2 * alpha * theta * (slopes[0] ** 2 + slopes[1] ** 2))
    np.testing.assert_allclose(by_theta, expected, rtol=1e-5)
    assert (by_negatives == 0).all()
    assert (by_x != 0).all()


def test_a_run_whose_energies_drift_apart_stops_at_that_step():
    """Energies that grow without end stay finite for long; the gap shows it, which is 112.5 nats at the first step."""
    optimizer = optax.sgd(0.0)
    for max_gap, diverges in ((50.0, True), (1e3, False)):
        objective = ebm.maximum_likelihood(
            lambda theta, x: theta * x[:, 0], ebm.langevin_chain(0.1, temperature=0.0), ebm.data_chains(), steps=10,
            max_gap=max_gap,
        )  # fmt: skip
        # each step lowers x by .05 θ, so the gap is 10 · .05 θ²
        state = create_state(jax.random.key(0), jnp.asarray(15.0), optimizer, objective.carry)
        run = partial(fit, make_train_step(objective.loss, optimizer), state, lambda n: jnp.zeros((8, 2)), steps=2)
        if diverges:
            with pytest.raises(Diverged, match="loss is nan at step 1"):
                run(progress=False)
        else:
            np.testing.assert_allclose(run(progress=False).history["loss"][1], 112.5, rtol=1e-4)


def test_refusals(unchecked):
    starts, chain, x = ebm.data_chains(), ebm.langevin_chain(0.1), jnp.zeros((2, 1))
    learn = partial(ebm.maximum_likelihood, quadratic, chain, starts)
    small = ebm.persistent_chains(jax.random.key(0), standard_normal(), (2,), size=4)
    refuses(
        ("step_size must be positive", lambda: ebm.langevin_chain(0.0)),
        ("clip_gradient must be positive", lambda: ebm.langevin_chain(0.1, clip_gradient=-1.0)),
        ("temperature must be finite", lambda: ebm.langevin_chain(0.1, temperature=-1.0)),
        ("low < high", lambda: ebm.langevin_chain(0.1, bounds=(1.0, 0.0))),
        ("size must be at least 1", lambda: ebm.persistent_chains(jax.random.key(0), standard_normal(), (2,), size=0)),
        ("probability", lambda: ebm.persistent_chains(jax.random.key(0), standard_normal(), (2,), reinitialise=2.0)),
        ("the buffer has 4 entries", lambda: small.draw(jax.random.key(0), small.carry, jnp.zeros((5, 2)))),
        ("the buffer has 4 entries", lambda: small.draw(jax.random.key(0), small.carry, jnp.zeros((3, 1)))),
        ("steps must be at least 0", lambda: learn(steps=-1)),
        ("max_gap must be positive", lambda: learn(steps=1, max_gap=0.0)),
        (
            "regularisation must be",
            lambda: learn(steps=1, regularisation=-1.0),
        ),
        ("carry=objective.carry", lambda: learn(steps=1).loss(jax.random.key(0), 1.0, x, buffer=0)),
        ("one value per example", lambda: ebm.contrastive_losses(lambda x: x, x, x)),
        (
            "need one shape",
            lambda: ebm.contrastive_losses(partial(quadratic, 1.0), x, x[:1]),
        ),
    )

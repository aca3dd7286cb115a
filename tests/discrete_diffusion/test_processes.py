"""Chains over categories against matrices that are written down or multiplied out in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refuses
from scipy.linalg import expm
from token_toys import CHAINS, CONTINUOUS, K

from jaxgen import discrete_diffusion as dd

BETAS = np.array([0.1, 0.3, 0.5, 0.9])
GAUSSIAN_BETAS = np.linspace(0.2, 6.0, 8)


def interpolated(alpha, states):
    """αI + (1 − α) 1πᵀ, π uniform, or all mass on the last of K + 1 states."""
    law = np.full(states, 1 / states) if states == K else np.eye(states)[-1]
    return alpha * np.eye(states) + (1 - alpha) * law


def gaussian_steps(categories, betas):
    """The matrices of Austin et al. 2021, eq. 8, entry by entry."""
    found = np.zeros((len(betas), categories, categories))
    for step, beta in enumerate(betas):
        weight = lambda n, beta=beta: np.exp(-4 * n**2 / ((categories - 1) ** 2 * beta))
        total = sum(weight(n) for n in range(-(categories - 1), categories))
        for i in range(categories):
            for j in range(categories):
                if i != j:
                    found[step, i, j] = weight(i - j) / total
            found[step, i, i] = 1 - found[step, i].sum()
    return found


def generator(categories, width=1.0):
    index = np.arange(categories)
    rates = np.exp(-((index[:, None] - index) ** 2) / (2 * width**2))
    np.fill_diagonal(rates, 0)
    rates -= np.diag(rates.sum(1))
    return rates / np.sort(-np.linalg.eigvalsh(rates))[1]


def exact_transition(name, s, t):
    """q(x_t | x_s) in float64 of a process of `token_toys`."""
    match name:
        case "absorbing":
            return interpolated((1 - t) / (1 - s), K + 1)
        case "uniform":
            return interpolated((1 - np.sin(np.pi * t / 2)) / (1 - np.sin(np.pi * s / 2)), K)
        case "ordinal":
            return expm(np.log((1 - s) / (1 - t)) * generator(K))
        case "gaussian_chain":
            matrices = gaussian_steps(K, GAUSSIAN_BETAS)[round(8 * s) : round(8 * t)]
            return np.linalg.multi_dot([np.eye(K), np.eye(K), *matrices])


CASES = [*((name, process) for name, process in CONTINUOUS.items()), ("gaussian_chain", CHAINS["ordinal"])]


@pytest.mark.parametrize(("name", "process"), CASES, ids=[name for name, _ in CASES])
def test_every_probability_is_that_of_the_chains_matrices(name, process):
    s, t = np.array([0.125, 0.25, 0.0]), np.array([0.25, 0.875, 0.125])
    x = jnp.broadcast_to(jnp.arange(process.states), (3, process.states))
    of_data = x[:, : process.categories]
    p = np.random.default_rng(0).dirichlet(np.ones(process.categories), (3, 2))

    @jax.jit
    def found(s, t):
        log_p = jnp.log(jnp.asarray(p, jnp.float32))
        parts = process.log_marginal(of_data, t), process.log_evidence(x, t), process.log_backward(x, s, t)
        return *map(jnp.exp, parts), jnp.exp(process.log_mixture(log_p, t))

    marginal, evidence, backward, mixture = found(s, t)
    for i in range(3):
        whole, step = exact_transition(name, 0, t[i]), exact_transition(name, s[i], t[i])
        of_categories = whole[: process.categories]
        # small probabilities are as precise as large ones
        for value, exact in (
            (marginal, of_categories),
            (evidence, of_categories.T),
            (backward, step.T),
            (mixture, p[i] @ of_categories),
        ):
            np.testing.assert_allclose(value[i], exact, rtol=2e-4, atol=1e-12)
    # one time for the batch is the same as a time for each
    for one, many in zip(found(s[1], t[1]), found(s, t), strict=True):
        np.testing.assert_allclose(one[1], many[1], rtol=1e-5)


@pytest.mark.parametrize(("name", "process"), list(CONTINUOUS.items()), ids=list(CONTINUOUS))
def test_rates_are_the_derivative_of_the_transition(name, process):
    t, h = 0.4, 1e-6
    derivative = (exact_transition(name, t, t + h) - np.eye(process.states)) / h
    x = jnp.arange(process.states, dtype=jnp.int32)[None]
    if name == "absorbing":
        # q(x_t = mask) grows at the rate −α′/α of each token
        np.testing.assert_allclose(derivative[0, -1], 1 / (1 - t), rtol=1e-4)
        return
    found = np.exp(process.log_rates(x, jnp.float32(t)))[0]
    exact = derivative.T.copy()
    np.fill_diagonal(exact, 0)
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-6)


def test_the_binomial_chain_is_that_of_2015():
    process = dd.binomial(dd.schedule_from_betas(BETAS))
    probability = np.array([0.0, 1.0])
    for i, beta in enumerate(BETAS, 1):
        probability = probability * (1 - beta) + beta / 2
        found = jnp.exp(process.log_marginal(jnp.array([[0, 1]]), i / 4))[0, :, 1]
        np.testing.assert_allclose(found, probability, rtol=1e-5)


def test_the_gaussian_chain_is_right_for_every_number_of_categories():
    for categories in (3, 16):
        process = dd.gaussian_chain(categories, BETAS)
        exact = gaussian_steps(categories, BETAS)
        np.testing.assert_allclose(process.transitions, exact, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(np.sum(process.transitions, 1), 1, atol=1e-5)  # the uniform law is stationary
    # with the sum's limits of K = 256, as published, other K would get other matrices
    spread = 2**2 * BETAS[0] / 4
    published = 1 / np.exp(-(np.arange(-255, 256) ** 2) / spread).sum() * np.exp(-1 / spread)
    assert abs(gaussian_steps(3, BETAS)[0, 0, 1] - published) < 1e-3
    wide = 2**2 * BETAS[-1] / 4 * 4
    published, ours = (np.exp(-1 / wide) / np.exp(-(np.arange(-m, m + 1) ** 2) / wide).sum() for m in (255, 2))
    assert abs(ours - published) > 0.01


def test_ordinal_tokens_keep_their_order():
    process = dd.ordinal(8, dd.linear_schedule(), width=1.5)
    found = jax.jit(lambda t: jnp.exp(process.log_marginal(jnp.arange(8)[None], t))[0])
    assert np.all(np.diff(found(0.3)[0]) < 0)
    # the slowest mode decays as alpha does
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(found(0.5)).real)[-2:], [0.5, 1], rtol=1e-5)
    np.testing.assert_allclose(found(1.0), 1 / 8, rtol=1e-5)


@pytest.mark.first_by_day
@pytest.mark.parametrize("process", [*CONTINUOUS.values(), CHAINS["ordinal"]], ids=[*CONTINUOUS, "gaussian_chain"])
def test_noise_has_the_marginals_of_the_chain(process):
    n, t = 20_000, 0.375
    x0 = jnp.broadcast_to(jnp.arange(K, dtype=jnp.int32), (n, K))
    x_t = np.asarray(jax.jit(process.perturb)(jax.random.split(jax.random.key(0), n), x0, t))
    exact = np.exp(process.log_marginal(x0[:1], t))[0]
    for token in range(K):
        share = np.bincount(x_t[:, token], minlength=process.states) / n
        assert np.all(np.abs(share - exact[token]) <= 4 * np.sqrt(exact[token] * (1 - exact[token]) / n) + 1e-9)


SCHEDULES = {
    "linear": (dd.linear_schedule(0.1), lambda t: 1 - 0.9 * t),
    "polynomial": (dd.polynomial_schedule(2.0), lambda t: 1 - t**2),
    "cosine": (dd.cosine_schedule(), lambda t: 1 - np.cos(np.pi * (1 - t) / 2)),
    "reciprocal": (dd.schedule_from_betas(dd.reciprocal_betas(8)), lambda t: 1 - t),
}


@pytest.mark.first_by_day
@pytest.mark.parametrize(("schedule", "exact"), SCHEDULES.values(), ids=SCHEDULES)
def test_schedules(schedule, exact):
    t = np.linspace(0, 1, 9)
    np.testing.assert_allclose(schedule.alpha(t), exact(t), atol=1e-6)
    np.testing.assert_allclose(schedule.complement(t), 1 - exact(t), rtol=1e-5, atol=1e-7)
    assert (float(schedule.alpha(0.0)), float(schedule.complement(0.0))) == (1, 0)
    np.testing.assert_allclose(schedule.time_at(schedule.complement(t)), t, atol=1e-3)
    np.testing.assert_allclose(dd.Schedule.time_at(schedule, schedule.complement(t[:-1])), t[:-1], atol=0.07)
    if schedule.steps is None:
        inner = np.array([0.2, 0.7])
        slope = (exact(inner - 1e-5) - exact(inner + 1e-5)) / 2e-5
        np.testing.assert_allclose(schedule.slope(inner), slope, rtol=1e-3)
        np.testing.assert_allclose(dd.Schedule.slope(schedule, inner), slope, rtol=1e-3)
        np.testing.assert_allclose(schedule.complement(1e-4), 1 - exact(1e-4), rtol=1e-3)


def test_tables_of_betas():
    steps, s = 50, 0.008
    alpha = np.cumprod(1 - dd.cosine_betas(steps))
    t = np.arange(1, steps) / steps
    angle = lambda t: np.cos((t + s) / (1 + s) * np.pi / 2)
    np.testing.assert_allclose(alpha[:-1], angle(t) / angle(0), rtol=1e-6)
    assert dd.cosine_betas(steps)[-1] == 0.999
    np.testing.assert_allclose(np.cumprod(1 - dd.reciprocal_betas(4)), [0.75, 0.5, 0.25, 0])


def test_bad_processes_are_refused(unchecked):
    linear = dd.linear_schedule()
    chain = CHAINS["uniform"]
    refuses(
        ("at least 2 categories", lambda: dd.uniform(1, linear)),
        (r"alpha\(1\) = 0, got 0.1", lambda: dd.absorbing(4, dd.linear_schedule(0.1))),
        ("end is alpha", lambda: dd.linear_schedule(1.0)),
        ("power must be positive", lambda: dd.polynomial_schedule(0.0)),
        ("width must be positive", lambda: dd.ordinal(4, linear, 0.0)),
        ("only the last may be 1", lambda: dd.schedule_from_betas([1.0, 0.5])),
        (r"shape \(T,\)", lambda: dd.schedule_from_betas([])),
        (r"shape \(T, K, K\)", lambda: dd.from_transitions(np.eye(3))),
        ("sum to 1", lambda: dd.from_transitions(np.ones((1, 3, 3)))),
        ("prior must be 3", lambda: dd.from_transitions(np.eye(3)[None], np.ones(3))),
        ("betas must be a table", lambda: dd.gaussian_chain(4, [0.0])),
        ("max_beta", lambda: dd.cosine_betas(4, max_beta=2.0)),
        ("no derivative", lambda: chain.schedule.slope(0.5)),
        ("no rates", lambda: CHAINS["ordinal"].log_rates(jnp.zeros((1, 1), int), 0.5)),
        ("no alpha", lambda: CHAINS["ordinal"].schedule.alpha(0.5)),
    )
    with pytest.raises(NotImplementedError, match="must define alpha"):
        dd.Schedule().alpha(0.5)
    with pytest.raises(NotImplementedError, match="must define log_marginal"):
        dd.CategoricalProcess(linear, np.ones(2) / 2).log_marginal(jnp.zeros((1, 1), int), 0.5)

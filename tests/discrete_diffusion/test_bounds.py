"""Bounds against −log p(x) of laws that can be enumerated."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refuses
from token_toys import CHAINS, CONTINUOUS, K, L, Toy, exact_integrand, exact_term

from jaxgen import discrete_diffusion as dd

TOY, TOKEN = Toy(), Toy(length=1, seed=3)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)


def continuous_value(process, denoise, x):
    """The bound in continuous time for every sequence of x, by quadrature over time and enumeration of x_t."""
    u, weight = (NODES + 1) / 2, WEIGHTS / 2
    integrand = jax.jit(jax.vmap(lambda t: exact_integrand(process, denoise, x, t)))
    # t = u³ smooths the logarithms near t = 0
    return dd.prior_term(process, jnp.asarray(x)) + (weight * 3 * u**2) @ np.asarray(integrand(jnp.asarray(u**3)))


def chain_value(process, denoise, x, steps):
    """The bound of a chain of steps for every sequence of x, by enumeration of x_t."""
    i = jnp.arange(1, steps + 1)
    terms = jax.jit(jax.vmap(lambda s, t: exact_term(process, denoise, x, s, t)))
    return np.asarray(dd.prior_term(process, jnp.asarray(x)) + terms((i - 1) / steps, i / steps).sum(0))


def denoiser(toy, process, predicts="leave_one_out", means=None):
    return dd.denoiser(process, toy.network(process, means or predicts), predicts=predicts)


KINDS = pytest.mark.parametrize("kind", list(CONTINUOUS))


@KINDS
@pytest.mark.parametrize("predicts", ["x0", "leave_one_out"])
def test_exact_conditionals_give_the_log_likelihood_in_continuous_time(kind, predicts):
    process = CONTINUOUS[kind]
    found = continuous_value(process, denoiser(TOY, process, predicts), TOY.x)
    np.testing.assert_allclose(found, -TOY.log_p, atol=2e-3)


@KINDS
def test_exact_conditionals_of_one_token_give_the_log_likelihood_in_any_number_of_steps(kind):
    process = CHAINS[kind]
    for predicts in ("x0", "leave_one_out"):
        found = chain_value(process, denoiser(TOKEN, process, predicts), TOKEN.x, process.steps)
        prior = np.asarray(dd.prior_term(process, jnp.asarray(TOKEN.x)))
        assert np.all(prior < 1e-3)
        np.testing.assert_allclose(found, -TOKEN.log_p, atol=2e-3)


@pytest.mark.parametrize("kind", ["uniform", "ordinal"])
def test_the_posterior_in_place_of_the_leave_one_out_law_gives_a_wrong_bound(kind):
    process = CONTINUOUS[kind]
    wrong = continuous_value(process, denoiser(TOKEN, process, "leave_one_out", means="x0"), TOKEN.x)
    excess = TOKEN.p @ (wrong + TOKEN.log_p)
    assert excess > 0.2  # although the posterior is exact
    # by hand, for the uniform chain: its own rates, of the posterior as if it were the prior
    if kind == "uniform":
        u = (NODES + 1) / 2
        total = np.zeros(K)
        for t, weight in zip(u**3, WEIGHTS / 2 * 3 * u**2, strict=True):
            alpha, rate = 1 - np.sin(np.pi * t / 2), np.pi / 2 * np.cos(np.pi * t / 2) / (1 - np.sin(np.pi * t / 2))
            q = alpha * np.eye(K) + (1 - alpha) / K
            for x0 in range(K):
                for x_t in range(K):
                    posterior = TOKEN.p * q[:, x_t] / (TOKEN.p @ q[:, x_t])
                    model = rate / K * (posterior @ q) / (posterior @ q)[x_t]
                    true = rate / K * q[x0] / q[x0, x_t]
                    cost = model - true + true * np.log(true / model)
                    total[x0] += weight * q[x0, x_t] * np.delete(cost, x_t).sum()
        np.testing.assert_allclose(wrong, total, rtol=2e-3)


@KINDS
def test_one_step_is_a_product_of_marginals_and_the_gap_falls_as_steps_grow(kind):
    process = CONTINUOUS[kind]
    denoise = denoiser(TOY, process)
    values = [TOY.p @ (chain_value(process, denoise, TOY.x, steps) + TOY.log_p) for steps in (1, 2, 4, 16, 64)]
    log_marginals = np.log(TOY.marginals())
    product = -sum(log_marginals[place, TOY.x[:, place]] for place in range(L))
    np.testing.assert_allclose(chain_value(process, denoise, TOY.x, 1), product, rtol=1e-4)
    assert values[0] > 0.1
    assert np.all(np.diff(values) < 0)
    assert -1e-3 < values[-1] < 0.05 * values[0]


@pytest.mark.parametrize("schedule", [dd.linear_schedule(), dd.cosine_schedule(), dd.polynomial_schedule(3.0)])
def test_the_masked_bound_is_a_mean_over_orders_whatever_the_schedule(schedule):
    process = dd.absorbing(K, schedule)
    weight = jax.random.normal(jax.random.key(0), (K + 1, L, L, K))

    def network(x, t, cond=None):  # a network that knows nothing
        return jax.vmap(lambda x: sum(weight[x[place], place] for place in range(L)))(x)

    denoise = dd.denoiser(process, network)
    exact = np.zeros(len(TOY.x))
    for kept in range(2**L - 1):  # Σ_n (1/n) mean over the sets M of n masks of the cross-entropy in M
        masks = np.array([not kept >> place & 1 for place in range(L)])
        n = masks.sum()
        sets = {1: 3, 2: 3, 3: 1}[int(n)]
        log_p = jax.nn.log_softmax(network(jnp.asarray(np.where(masks, K, TOY.x)), 0.0))
        chosen = np.take_along_axis(np.asarray(log_p), TOY.x[..., None], -1)[..., 0]
        exact -= (chosen * masks).sum(1) / (n * sets)
    np.testing.assert_allclose(continuous_value(process, denoise, TOY.x), exact, rtol=1e-3)


@cache
def estimates(kind, n=4000):
    """Estimates of both bounds and of the loss for draws of the toy, with their exact means."""
    process, chain = CONTINUOUS[kind], CHAINS[kind]
    x0 = jnp.asarray(TOY.x[np.random.default_rng(1).choice(len(TOY.x), n, p=TOY.p)])
    keys = jax.random.split(jax.random.key(0), n)
    key = jax.random.key(5)

    @jax.jit
    def found():
        continuous = dd.continuous_bound(keys, process, denoiser(TOY, process), x0, draws=8)
        steps = dd.variational_bound(keys, chain, denoiser(TOY, chain), x0)
        own, law = TOY.network(process, "leave_one_out"), {"predicts": "leave_one_out"}
        loss = dd.bound_loss(key, process, own, x0, **law)
        hybrid = dd.bound_loss(key, process, own, x0, **law, cross_entropy=0.5)
        own = TOY.network(chain, "x0")
        discrete = dd.bound_loss(key, chain, own, x0)
        return continuous, steps, loss, hybrid, discrete

    return x0, found()


@KINDS
def test_estimates_of_bounds_and_losses_are_unbiased(kind):
    x0, (continuous, steps, loss, hybrid, discrete) = estimates(kind)
    index = np.asarray(x0) @ K ** np.arange(L)[::-1]
    exact = -TOY.log_p[index]
    chain = CHAINS[kind]
    of_chain = chain_value(chain, denoiser(TOY, chain), TOY.x, chain.steps)[index]
    prior = np.asarray(dd.prior_term(chain, x0))
    for found, mean in (
        (continuous.total, exact),
        (steps.total, of_chain),
        (L * np.asarray(loss), exact),
        (L * np.asarray(discrete), of_chain - prior),
    ):
        difference = np.asarray(found, np.float64) - mean
        assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))
    assert continuous.terms.shape == (len(x0), 8)
    assert steps.terms.shape == (len(x0), 8)
    np.testing.assert_allclose(steps.bits_per_token, steps.total / (3 * np.log(2)), rtol=1e-6)
    # the hybrid loss adds a cross-entropy of the same draws
    assert np.all(hybrid - loss >= 0)
    assert 0.1 < (hybrid - loss).mean() / 0.5 < np.log(K)


def test_an_estimate_depends_on_its_own_key_alone():
    process = CONTINUOUS["uniform"]
    keys = jax.random.split(jax.random.key(1), 4)
    run = lambda keys, x: dd.continuous_bound(keys, process, denoiser(TOY, process), x, draws=2).total
    x0 = jnp.asarray(TOY.x[:4])
    np.testing.assert_allclose(run(keys, x0)[2:], run(keys[2:], x0[2:]), rtol=1e-5)


@KINDS
def test_the_law_that_minimises_the_loss_is_the_one_that_the_logits_are_of(kind):
    """The gradient in the logits vanishes at the exact law and not at others, and is finite at the ends of time."""
    process = CONTINUOUS[kind]
    x_t = jnp.asarray([[0, 1, 2], [process.states - 1, 1, 0]])
    if kind == "absorbing":
        x_t = jnp.full((2, L), process.mask)  # all that occurs at t = 1
    for t in (1e-5, 0.5, 1.0):
        for predicts in ("x0", "leave_one_out"):
            logits = TOY.network(process, predicts)(x_t, t)

            def mean(logits, predicts=predicts, t=t):
                denoise = dd.denoiser(process, lambda x, t, cond: logits, predicts=predicts)
                return dd.rate_term(process, denoise(x_t, t), x_t, x_t % K, t).sum()

            gradient = jax.grad(mean)(jnp.maximum(logits, -50.0))
            assert np.all(np.isfinite(gradient))
    t = 0.5

    def expected(logits, x_t):
        """The integrand at x_t, averaged over the posterior of x_0."""
        evidence = process.log_evidence(x_t, t)
        log_joint = jnp.asarray(TOY.log_p) + sum(evidence[0, place][TOY.x[:, place]] for place in range(L))
        posterior = jax.nn.softmax(log_joint)
        many = jnp.broadcast_to(x_t, TOY.x.shape)
        denoise = dd.denoiser(process, lambda x, t, cond: jnp.broadcast_to(logits, (*x.shape, K)))
        return (posterior * dd.rate_term(process, denoise(many, t), many, jnp.asarray(TOY.x), t)).sum()

    x_t = jnp.asarray([[process.states - 1, 1, 0]])
    logits = TOY.network(process, "x0")(x_t, t)
    logits = jnp.maximum(logits, -30.0)
    assert np.abs(jax.grad(expected)(logits, x_t)).max() < 1e-4
    assert np.abs(jax.grad(expected)(jnp.zeros((1, L, K)), x_t)).max() > 1e-2


def test_bad_calls_are_refused(unchecked):
    process, chain = CONTINUOUS["absorbing"], CHAINS["ordinal"]
    keys, x0 = jax.random.split(jax.random.key(0), 2), jnp.zeros((2, 3), int)
    denoise, network = denoiser(TOY, process), TOY.network(process, "x0")
    bound = lambda **options: dd.variational_bound(keys, process, denoise, x0, **options)
    refuses(
        ("needs a grid", bound),
        ("from 1 to 0", lambda: bound(grid=np.array([0.9, 0.0]))),
        ("steps i/8", lambda: dd.variational_bound(keys, chain, denoise, x0, grid=np.array([1.0, 0.3, 0.0]))),
        ("a key for each", lambda: dd.continuous_bound(keys[:1], process, denoise, x0)),
        ("typed keys", lambda: dd.continuous_bound(jax.random.PRNGKey(0), process, denoise, x0)),
        ("draws must be", lambda: dd.continuous_bound(keys, process, denoise, x0, draws=0)),
        ("integers from 0 to 3", lambda: dd.continuous_bound(keys, process, denoise, jnp.zeros((2, 3)))),
        ("lie in 0 … 3", lambda: dd.bound_loss(keys[0], process, network, x0 + 4)),
        ("no rates", lambda: dd.continuous_bound(keys, chain, denoiser(TOY, chain), x0)),
        ("cross_entropy", lambda: dd.bound_loss(keys[0], process, network, x0, cross_entropy=-1.0)),
        ("unknown predicts", lambda: dd.denoiser(process, network, predicts="eps")),
        ("logits of shape", lambda: dd.denoiser(process, lambda x, t, c: jnp.zeros((2, 3)))(x0, 0.5)),
        ("times lie in", lambda: denoise(x0, 2.0)),
        ("must have shape", lambda: dd.classifier_free(process, denoise, 1, 0, jnp.ones(3))(x0, 0.5)),
    )
    refuses(
        ("need a denoiser", lambda: dd.evaluate(network, x0, 0.5)),
        ("cannot be called", lambda: dd.evaluate(lambda x: x, x0, 0.5)),
        error=TypeError,
    )

"""Bounds against −log p(x) of laws that can be enumerated."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import slow
from refusals import refuses
from token_toys import CHAINS, CONTINUOUS, K, L, Toy, exact_integrand, exact_term

from jaxgen import discrete_diffusion as dd

TOY, TOKEN = Toy(), Toy(length=1, seed=3)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)


def denoiser(toy, process, predicts="leave_one_out", means=None):
    """The exact denoiser of a toy, or one whose network predicts another law than it is taken for."""
    return dd.denoiser(process, toy.network(process, means or predicts), predicts=predicts)


@cache
def integrand(toy, process, predicts, means):
    denoise = denoiser(toy, process, predicts, means)
    return jax.jit(lambda t: exact_integrand(process, denoise, toy.x, t))


@cache
def term(toy, process, predicts):
    return jax.jit(lambda s, t: exact_term(process, denoiser(toy, process, predicts), toy.x, s, t))


def over_time(function):
    """∫ f dt from 0 to 1; t = u³ smooths the logarithms near t = 0."""
    u = (NODES + 1) / 2
    return sum(w / 2 * 3 * v**2 * np.asarray(function(np.float32(v**3))) for v, w in zip(u, WEIGHTS, strict=True))


def continuous_value(toy, process, predicts="leave_one_out", means=None):
    """The bound in continuous time for every sequence, by quadrature over time and enumeration of x_t."""
    return over_time(integrand(toy, process, predicts, means or predicts))


def chain_value(toy, process, steps, predicts="leave_one_out"):
    """The bound of a chain of steps for every sequence without its prior term, by enumeration of x_t."""
    of_step = term(toy, process, predicts)
    return sum(np.asarray(of_step(np.float32((i - 1) / steps), np.float32(i / steps))) for i in range(1, steps + 1))


KINDS = pytest.mark.parametrize("kind", ["uniform", "absorbing", "ordinal"])


@pytest.mark.parametrize(
    ("kind", "predicts"),
    [
        ("uniform", "x0"),
        ("uniform", "leave_one_out"),
        ("absorbing", "x0"),
        ("ordinal", "leave_one_out"),
        slow("ordinal", "x0"),
    ],
)
def test_exact_conditionals_give_the_log_likelihood_in_continuous_time(kind, predicts):
    np.testing.assert_allclose(continuous_value(TOY, CONTINUOUS[kind], predicts), -TOY.log_p, atol=2e-3)


@pytest.mark.parametrize(
    ("kind", "predicts"),
    [(kind, "x0") for kind in CONTINUOUS] + [slow(kind, "leave_one_out") for kind in CONTINUOUS],
)
def test_exact_conditionals_of_one_token_give_the_log_likelihood_in_any_number_of_steps(kind, predicts):
    chain = CHAINS[kind]
    prior = np.asarray(dd.prior_term(chain, jnp.asarray(TOKEN.x)))
    assert np.all(prior < 1e-3)  # the last betas leave next to nothing of the data
    np.testing.assert_allclose(chain_value(TOKEN, chain, 8, predicts), -TOKEN.log_p, atol=3e-3)


@pytest.mark.parametrize("kind", ["uniform", "ordinal"])
def test_the_posterior_in_place_of_the_leave_one_out_law_gives_a_wrong_bound(kind):
    wrong = continuous_value(TOKEN, CONTINUOUS[kind], "leave_one_out", means="x0")
    assert TOKEN.p @ (wrong + TOKEN.log_p) > 0.2  # although the posterior is exact
    if kind == "ordinal":
        return

    def by_hand(t):
        """The rate KL of the cosine schedule with the posterior as if it were the prior."""
        left = 1 - np.sin(np.pi * t / 2)
        rate, q = np.pi / 2 * np.cos(np.pi * t / 2) / left, left * np.eye(K) + (1 - left) / K
        total = np.zeros(K)
        for x0 in range(K):
            for x_t in range(K):
                posterior = TOKEN.p * q[:, x_t] / (TOKEN.p @ q[:, x_t])
                model, true = rate / K * (posterior @ q) / (posterior @ q)[x_t], rate / K * q[x0] / q[x0, x_t]
                total[x0] += q[x0, x_t] * np.delete(model - true + true * np.log(true / model), x_t).sum()
        return total

    np.testing.assert_allclose(wrong, over_time(by_hand), rtol=3e-3)


@KINDS
@pytest.mark.first_by_day
def test_one_step_is_a_product_of_marginals_and_the_gap_falls_as_steps_grow(kind):
    process = CONTINUOUS[kind]
    log_marginals = np.log(TOY.marginals())
    product = -sum(log_marginals[place, TOY.x[:, place]] for place in range(L))
    np.testing.assert_allclose(chain_value(TOY, process, 1), product, rtol=1e-4)
    gaps = [TOY.p @ (chain_value(TOY, process, steps) + TOY.log_p) for steps in (1, 2, 4, 16, 64)]
    assert gaps[0] > 0.1
    assert np.all(np.diff(gaps) < 0)
    assert -1e-3 < gaps[-1] < 0.1 * gaps[0]
    assert gaps[-1] < 0.4 * gaps[-2]  # of first order in 1/T


@pytest.mark.first_by_day
@pytest.mark.parametrize("schedule", [dd.polynomial_schedule(3.0), dd.linear_schedule(), dd.cosine_schedule()])
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
    found = over_time(jax.jit(lambda t: exact_integrand(process, denoise, TOY.x, t)))
    np.testing.assert_allclose(found, exact, rtol=1e-3)


def estimates(kind, n=500):
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
        own = TOY.network(chain, "x0")
        discrete = dd.bound_loss(key, chain, own, x0)
        return continuous, steps, loss, discrete

    return x0, found()


@pytest.mark.slow
@KINDS
def test_estimates_of_bounds_and_losses_are_unbiased(kind):
    x0, (continuous, steps, loss, discrete) = estimates(kind)
    index = np.asarray(x0) @ K ** np.arange(L)[::-1]
    exact = -TOY.log_p[index]
    chain = CHAINS[kind]
    of_chain = chain_value(TOY, chain, chain.steps)[index]
    prior = np.asarray(dd.prior_term(chain, x0))
    for found, mean in (
        (continuous.total, exact),
        (steps.total, of_chain + prior),
        (L * np.asarray(loss), exact),
        (L * np.asarray(discrete), of_chain),
    ):
        difference = np.asarray(found, np.float64) - mean
        assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))
    assert continuous.terms.shape == (len(x0), 8)
    assert steps.terms.shape == (len(x0), 8)
    np.testing.assert_allclose(steps.bits_per_token, steps.total / (3 * np.log(2)), rtol=1e-6)


@KINDS
@pytest.mark.slow
def test_the_hybrid_loss_adds_a_cross_entropy_of_the_same_draws(kind):
    chain, key, x0 = CHAINS[kind], jax.random.key(5), jnp.asarray(TOY.x)
    run = jax.jit(lambda weight: dd.bound_loss(key, chain, TOY.network(chain, "x0"), x0, cross_entropy=weight))
    plain, one, two = (np.asarray(run(weight), np.float64) for weight in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(two - plain, 2 * (one - plain), atol=1e-4)
    assert np.all(one - plain >= -1e-6)
    assert 0.1 < (two - plain).mean() / chain.steps < np.log(K)


@pytest.mark.slow
def test_an_estimate_depends_on_its_own_key_alone():
    process = CONTINUOUS["uniform"]
    keys = jax.random.split(jax.random.key(1), 4)
    run = jax.jit(lambda keys, x: dd.continuous_bound(keys, process, denoiser(TOY, process), x, draws=2).total)
    x0 = jnp.asarray(TOY.x[:4])
    np.testing.assert_allclose(run(keys, x0)[2:], run(keys[2:], x0[2:]), rtol=1e-5)


@KINDS
@pytest.mark.first_by_day
def test_the_law_that_minimises_the_loss_is_the_one_that_the_logits_are_of(kind):
    """The gradient in the logits vanishes at the exact law and not at others, and is finite at the ends of time."""
    process = CONTINUOUS[kind]
    x_t = jnp.asarray([[0, 1, 2], [process.states - 1, 1, 0]])
    if kind == "absorbing":
        x_t = jnp.full((2, L), process.mask)  # all that occurs at t = 1

    @jax.jit
    def gradients(t):
        found = []
        for predicts in ("x0", "leave_one_out"):

            def total(logits, predicts=predicts):
                denoise = dd.denoiser(process, lambda x, t, cond: logits, predicts=predicts)
                return dd.rate_term(process, denoise(x_t, t), x_t, x_t % K, t).sum()

            found.append(jax.grad(total)(jnp.maximum(TOY.network(process, predicts)(x_t, t), -50.0)))
        return jnp.stack(found)

    for t in (1e-5, 0.5, 1.0):
        assert np.all(np.isfinite(gradients(t))), t
    t, x_t = 0.5, jnp.asarray([[process.states - 1, 1, 0]])

    def expected(logits):
        """The integrand at x_t, averaged over the posterior of x_0."""
        evidence = process.log_evidence(x_t, t)[0, np.arange(L), TOY.x].sum(-1)
        many = jnp.broadcast_to(x_t, TOY.x.shape)
        denoise = dd.denoiser(process, lambda x, t, cond: jnp.broadcast_to(logits, (*x.shape, K)))
        terms = dd.rate_term(process, denoise(many, t), many, jnp.asarray(TOY.x), t)
        return (jax.nn.softmax(TOY.log_p + evidence) * terms).sum()

    slope = jax.jit(jax.grad(expected))
    assert np.abs(slope(jnp.maximum(TOY.network(process, "x0")(x_t, t), -30.0))).max() < 1e-4
    assert np.abs(slope(jnp.zeros((1, L, K)))).max() > 1e-2


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

"""Samplers of tokens against the exact laws of their chains, and against a known joint law."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refuses
from token_toys import CHAINS, CONTINUOUS, K, L, Toy, all_tokens

from jaxgen import diffusion, samplers
from jaxgen import discrete_diffusion as dd

TOY = Toy(seed=5)
MASKED = CONTINUOUS["absorbing"]
N = 8000
VOCABULARY = 50_257


@cache
def drawn(sampler, process, steps, n=N):
    denoise = dd.denoiser(process, TOY.network(process, "leave_one_out"), predicts="leave_one_out")
    run = lambda keys: samplers.sample(keys, process, denoise, sampler, diffusion.uniform_grid(steps), (L,))
    return np.asarray(jax.jit(run)(jax.random.split(jax.random.key(0), n)))


def shares(x):
    return np.bincount(x @ K ** np.arange(L)[::-1], minlength=K**L) / len(x)


def deviation(x, p):
    """The largest deviation of the shares of sequences from a law, in standard errors; rare ones count together."""
    share, rare = shares(x), len(x) * p < 10
    share, p = (np.append(law[~rare], law[rare].sum()) for law in (share, p))
    return np.max(np.abs(share - p) / np.sqrt(np.maximum(p * (1 - p), 1e-5) / len(x)))


def law_of_the_chain(process, steps, kernel):
    """The law of sequences after all steps of a reverse chain whose tokens are drawn independently given x_t."""
    states = all_tokens(process.states, L)
    denoise = dd.denoiser(process, TOY.network(process, "leave_one_out"), predicts="leave_one_out")
    prior = np.asarray(process.stationary, np.float64)
    law = np.prod(prior[states], axis=1)

    @jax.jit
    def token_laws(s, t):
        return kernel(denoise(jnp.asarray(states), t).log_others, jnp.asarray(states), s, t)

    for i in range(steps, 0, -1):
        each = np.nan_to_num(np.float64(token_laws((i - 1) / steps, i / steps)))  # (S^L, L, S), 0 if impossible
        law = law @ np.prod([each[:, place][:, states[:, place]] for place in range(L)], axis=0)
    of_data = states.max(1) < K
    assert law[~of_data].sum() < 1e-5
    return law[of_data]


def remasking_kernel(log_p, x, s, t, share=0.5, alpha=lambda t: 1 - t):
    """The kernel of Wang et al. 2025 in α, for the linear schedule."""
    largest = jnp.minimum(1, (1 - alpha(s)) / jnp.maximum(alpha(t), 1e-9))
    sigma = share * largest
    unmask = (alpha(s) - (1 - sigma) * alpha(t)) / (1 - alpha(t))
    tokens = jnp.concatenate([unmask * jnp.exp(log_p), jnp.full((*x.shape, 1), 1 - unmask)], -1)
    kept = (1 - sigma) * jax.nn.one_hot(x, K + 1) + sigma * jax.nn.one_hot(jnp.full_like(x, K), K + 1)
    return jnp.where((x == K)[..., None], tokens, kept)


def ancestral_kernel(process):
    return lambda log_p, x, s, t: jnp.exp(process.log_reverse(log_p, x, s, t))


@pytest.mark.parametrize("kind", ["uniform", "absorbing", "ordinal"])
@pytest.mark.first_by_day
def test_ancestral_sampling_has_the_law_of_its_chain(kind):
    process = CONTINUOUS[kind]
    assert deviation(drawn(dd.ancestral(), process, 4), law_of_the_chain(process, 4, ancestral_kernel(process))) < 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uniform", "absorbing", "ordinal"])
def test_ancestral_sampling_tends_to_the_joint_law_as_steps_grow(kind):
    process = CONTINUOUS[kind]
    assert deviation(drawn(dd.ancestral(), process, 4), TOY.p) > 5  # four steps are too few
    far, near = (np.abs(law_of_the_chain(process, n, ancestral_kernel(process)) - TOY.p).sum() for n in (16, 128))
    assert near < min(0.2 * far, 0.03)
    assert deviation(drawn(dd.ancestral(), process, 128, 2000), TOY.p) < 4


def test_chains_in_discrete_time_are_sampled_on_subsets_of_their_steps_too():
    process = CHAINS["ordinal"]
    denoise = dd.denoiser(process, TOY.network(process, "x0"))
    run = lambda keys, grid: samplers.sample(keys, process, denoise, dd.ancestral(), grid, (L,))
    keys = jax.random.split(jax.random.key(2), N)
    found = np.asarray(jax.jit(run)(keys, diffusion.subset_grid(8, 4)))
    assert deviation(found, law_of_the_chain(process, 4, ancestral_kernel(process))) < 4


def test_remasking_has_the_law_of_its_paper():
    law = law_of_the_chain(MASKED, 4, remasking_kernel)
    assert deviation(drawn(dd.remasking(0.5), MASKED, 4), law) < 4


@pytest.mark.slow
def test_remasking_nothing_is_ancestral_sampling():
    np.testing.assert_array_equal(drawn(dd.remasking(0.0), MASKED, 4, 500), drawn(dd.ancestral(), MASKED, 4, 500))


def test_one_token_at_a_time_draws_the_joint_law_exactly():
    assert deviation(drawn(dd.first_hitting(), MASKED, L), TOY.p) < 4


@pytest.mark.slow
def test_first_hitting_takes_as_many_steps_as_tokens():
    assert deviation(drawn(dd.first_hitting(), MASKED, L + 2), TOY.p) < 4  # further steps change nothing
    assert deviation(drawn(dd.first_hitting(), MASKED, 2), TOY.p) > 5  # too few: the last step draws two at once


@pytest.mark.slow
def test_a_random_order_draws_the_joint_law_and_the_order_of_confidence_another():
    assert deviation(drawn(dd.confidence_order(1e6), MASKED, L), TOY.p) < 4
    assert deviation(drawn(dd.confidence_order(), MASKED, L), TOY.p) > 5


def test_first_hitting_times_are_those_of_the_chain():
    """The times of the D events are the order statistics of D times with P(time ≤ t) = 1 − α(t)."""
    process = dd.absorbing(2, dd.cosine_schedule())
    seen = []

    def network(x, t, cond=None):
        return jnp.zeros((*x.shape, 2))

    sampler, denoise = dd.first_hitting(), dd.denoiser(process, network)
    step = jax.jit(lambda keys, s, x, carry: sampler.step(keys, process, denoise, jnp.ones(()), s, x, carry))
    x = jnp.full((4000, 3), 2)
    carry = sampler.init(x)
    for i in range(3):
        x, carry = step(jax.random.split(jax.random.key(i), 4000), 0.5 - 0.1 * i, x, carry)
        seen.append(np.sin(np.pi / 2 * np.asarray(carry)))  # 1 − α
        assert np.all((np.asarray(x) == 2).sum(1) == 2 - i)
    means = np.mean(seen, 1)
    np.testing.assert_allclose(means, [3 / 4, 2 / 4, 1 / 4], atol=4 * 0.3 / np.sqrt(4000))


SAMPLERS = {
    "ancestral": dd.ancestral(),
    "remasking": dd.remasking(0.5),
    "confidence_order": dd.confidence_order(),
    "first_hitting": dd.first_hitting(),
}


@pytest.mark.parametrize("vocabulary", [100, VOCABULARY])
@pytest.mark.parametrize("name", list(SAMPLERS))
@pytest.mark.first_by_day
def test_the_share_of_unmasked_tokens_follows_the_schedule(name, vocabulary):
    process, tokens, n = dd.absorbing(vocabulary, dd.cosine_schedule()), 8, 8
    denoise = dd.denoiser(process, lambda x, t, cond: jnp.zeros((*x.shape, vocabulary)))
    grid = diffusion.uniform_grid(8)
    run = partial(samplers.sample, trajectory=True)
    keys = jax.random.split(jax.random.key(1), n)
    path = jax.jit(lambda keys: run(keys, process, denoise, SAMPLERS[name], grid, (tokens,)))(keys)
    masked = np.asarray(path) == vocabulary
    # first-hitting unmasks one token a step
    expected = grid if name == "first_hitting" else np.sin(np.pi / 2 * grid)
    error = np.sqrt(expected * (1 - expected) / (tokens * n)) + (1 / tokens if name == "confidence_order" else 1e-6)
    assert np.all(np.abs(masked.mean((1, 2)) - expected) <= 4 * error)
    assert not masked[-1].any()
    # from the whole vocabulary
    assert np.mean(path[-1]) == pytest.approx((vocabulary - 1) / 2, abs=4 * vocabulary / np.sqrt(12 * tokens * n))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["absorbing", "uniform"])
def test_rare_changes_are_drawn_as_often_as_asked_and_one_categorical_draw_misses_them(kind):
    """Of 12,000 tokens with a probability of 1e-3 each, 12 should change; one draw of 23 bits changes almost none."""
    process = getattr(dd, kind)(VOCABULARY, dd.linear_schedule())
    t = 0.5
    s = t * (1 - 1e-3)
    log_p = jnp.full((1, 1000, VOCABULARY), -np.log(VOCABULARY))
    start = process.mask if kind == "absorbing" else 0
    x = jnp.full((1, 1000), start)

    @jax.jit
    def changes(key):
        ours = process.reverse_step(key[None], log_p, x, s, t)
        naive = jax.random.categorical(key, process.log_reverse(log_p, x, s, t), mode="low")
        probability = 1 - jnp.exp(process.log_reverse(log_p, x, s, t))[0, 0, start]
        return (ours != start).sum(), (naive != start).sum(), probability

    ours, naive, probability = np.sum([changes(key) for key in jax.random.split(jax.random.key(0), 12)], 0)
    expected = 1000 * probability
    np.testing.assert_allclose(expected, 12, rtol=0.02)
    assert abs(ours - expected) < 4 * np.sqrt(expected)
    assert naive < 0.3 * expected < ours


@pytest.mark.parametrize("kind", ["uniform", "absorbing", "ordinal"])
@pytest.mark.first_by_day
def test_guidance_is_a_power_of_the_conditional_law(kind):
    process, x_t = CONTINUOUS[kind], jnp.asarray([[0, 3, 1], [2, CONTINUOUS[kind].states - 1, 1]])
    other = Toy(seed=9)
    networks = [toy.network(process, "leave_one_out") for toy in (TOY, other)]
    network = lambda x, t, cond: jnp.where(cond[:, None, None] == 1, networks[1](x, t), networks[0](x, t))
    denoise = dd.denoiser(process, network, predicts="leave_one_out")
    null, cond = jnp.zeros(2), jnp.ones(2)
    guided = lambda scale: dd.classifier_free(process, denoise, cond, null, scale)(x_t, 0.4)
    for scale, same in ((0.0, null), (1.0, cond)):
        for found, exact in zip(guided(scale), denoise(x_t, 0.4, cond=same), strict=True):
            np.testing.assert_allclose(np.exp(found), np.exp(exact), atol=1e-5)
    laws = [np.exp(np.asarray(denoise(x_t, 0.4, cond=c).log_others, np.float64)) for c in (null, cond)]
    exact = laws[1] ** 2.5 / laws[0] ** 1.5
    np.testing.assert_allclose(np.exp(guided(2.5).log_others), exact / exact.sum(-1, keepdims=True), atol=1e-5)
    # the posterior is guided by the same rule
    posteriors = [np.exp(np.asarray(denoise(x_t, 0.4, cond=c).log_x0, np.float64)) for c in (null, cond)]
    if kind != "absorbing":
        exact = posteriors[1] ** 2.5 / posteriors[0] ** 1.5
        np.testing.assert_allclose(np.exp(guided(2.5).log_x0), exact / exact.sum(-1, keepdims=True), atol=1e-4)
    each = guided(jnp.array([0.0, 1.0])).log_others
    np.testing.assert_allclose(each[0], guided(0.0).log_others[0], rtol=1e-5)
    np.testing.assert_allclose(each[1], guided(1.0).log_others[1], rtol=1e-5)


@pytest.mark.parametrize("name", ["first_hitting", "ancestral", "remasking", "confidence_order"])
@pytest.mark.first_by_day
def test_a_sample_depends_on_its_own_key_alone_and_lowers_for_accelerators(name):
    denoise = dd.denoiser(MASKED, TOY.network(MASKED, "x0"))
    keys = jax.random.split(jax.random.key(7), 6)
    run = jax.jit(lambda keys: samplers.sample(keys, MASKED, denoise, SAMPLERS[name], diffusion.uniform_grid(3), (L,)))
    np.testing.assert_array_equal(run(keys)[2:4], run(keys[2:4]))
    assert run(keys).dtype == jnp.int32
    run.trace(keys).lower(lowering_platforms=("cuda", "tpu"))


@pytest.mark.slow
def test_a_start_is_filled_in():
    start = jnp.asarray([[2, K, K]] * N)
    denoise = dd.denoiser(MASKED, TOY.network(MASKED, "x0"))
    keys = jax.random.split(jax.random.key(3), N)
    run = lambda keys: samplers.sample(
        keys, MASKED, denoise, dd.first_hitting(), diffusion.uniform_grid(2), (L,), start=start
    )
    conditional = np.where(TOY.x[:, 0] == 2, TOY.p, 0)
    assert deviation(np.asarray(jax.jit(run)(keys)), conditional / conditional.sum()) < 4


def test_bad_samplers_are_refused(unchecked):
    process = CONTINUOUS["uniform"]
    keys = jax.random.split(jax.random.key(0), 2)
    run = lambda sampler, process=process: samplers.sample(
        keys, process, dd.denoiser(process, TOY.network(process, "x0")), sampler, diffusion.uniform_grid(4), (L,)
    )
    refuses(
        ("first-hitting sampling needs an absorbing", lambda: run(dd.first_hitting())),
        ("continuous time", lambda: run(dd.first_hitting(), CHAINS["absorbing"])),
        ("remasking needs", lambda: run(dd.remasking())),
        ("confidence order needs", lambda: run(dd.confidence_order())),
        ("share must lie", lambda: dd.remasking(2.0)),
        ("cap must lie", lambda: dd.remasking(1.0, cap=-1.0)),
        ("temperature", lambda: dd.confidence_order(-1.0)),
    )

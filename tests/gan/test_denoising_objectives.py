"""The losses of denoising diffusion GANs and of Diffusion-GAN, against the chains' closed forms."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import gan
from jaxgen.diffusion import vp

KEY, N = jax.random.key(0), 40_000
PROCESS = gan.ddgan_process()
# the paper's chain of four steps (Xiao et al. 2022), at k = 1 … 4: √ᾱ_{k−1}, √ᾱ_k, and the posterior's coefficients
ALPHA_S, ALPHA_T = np.sqrt([1, 0.52174, 0.07868, 0.003429]), np.sqrt([0.52174, 0.07868, 0.003429, 4.32e-5])
C_X0, C_XT = np.array([1, 0.6658, 0.2692, 0.0578]), np.array([0, 0.2016, 0.1930, 0.1119])


def returns(theta, x_t, t, z):
    """A generator that returns θ."""
    return jnp.broadcast_to(theta, x_t.shape)


def linear(params, x_s, x_t, t):
    """A critic a x_s + b x_t + c t."""
    a, b, c = params
    return (a * x_s + b * x_t).sum(-1) + c * t


def test_the_means_of_a_linear_critic_are_those_of_the_chain():
    """For data at x0: E x_s = √ᾱ_s x0, E x_t = √ᾱ_t x0, and E x̂_s = c₁ θ + c₂ √ᾱ_t x0, with four equal times."""
    x0, theta, (a, b, c) = 3.0, -2.0, (0.7, -0.4, 2.0)
    objectives = gan.denoising_objectives(
        PROCESS, returns, linear, gan.wasserstein(), latent_size=1, penalties={"r1": gan.r1(0.6), "r2": gan.r2(1.0)}
    )
    assert objectives.carry == {}
    params, data = tuple(map(jnp.float32, (a, b, c))), jnp.full((N, 1), x0)
    losses, metrics, carry = jax.jit(objectives.critic)(KEY, params, jnp.float32(theta), data)
    real = a * ALPHA_S * x0 + b * ALPHA_T * x0 + c * np.arange(1, 5) / 4
    fake = a * (C_X0 * theta + C_XT * ALPHA_T * x0) + b * ALPHA_T * x0 + c * np.arange(1, 5) / 4
    for name, exact in (("real_logit", real), ("fake_logit", fake)):
        error = np.std(metrics[name]) / np.sqrt(N)
        assert abs(np.mean(metrics[name]) - exact.mean()) < 5 * error, name
    # the gradient in x_s alone is a, at real and at fake data
    np.testing.assert_allclose(losses, metrics["fake_logit"] - metrics["real_logit"] + 0.8 * a**2, rtol=1e-4)
    assert (carry, set(metrics)) == ({}, {"real_logit", "fake_logit", "r1", "r2"})
    # real and fake come with one x_t, so the critic's weight of it and that of t change no difference of logits
    _, other, _ = jax.jit(objectives.critic)(KEY, (params[0], *map(jnp.float32, (5, 9))), jnp.float32(theta), data)
    differences = [found["real_logit"] - found["fake_logit"] for found in (metrics, other)]
    np.testing.assert_allclose(*differences, atol=1e-3)


def test_the_generators_loss_falls_where_the_critic_asks():
    """Its derivative in θ is −a E c₁ for the Wasserstein loss, and the carry comes back as it was."""
    objectives = gan.denoising_objectives(PROCESS, returns, linear, gan.wasserstein(), latent_size=1)
    params, data = (jnp.float32(0.7), jnp.float32(1), jnp.float32(1)), jnp.zeros((N, 1))
    mean_loss = lambda theta: objectives.generator(KEY, theta, params, data)[0].mean()
    slope = jax.jit(jax.grad(mean_loss))(jnp.float32(0.3))
    assert abs(slope + 0.7 * C_X0.mean()) < 5 * 0.7 * C_X0.std() / np.sqrt(N)


def test_both_players_are_told_the_conditions_and_lazy_penalties_are_counted():
    """A label's own generator and critic: R1 is γ/2 a², in every second update."""

    def labelled(theta, x_t, t, z, label):
        return jnp.broadcast_to(theta[label][:, None], x_t.shape)

    def judge(psi, x_s, x_t, t, label):
        return psi[label] * x_s[:, 0]

    objectives = gan.denoising_objectives(
        gan.ddgan_process(1), labelled, judge, gan.wasserstein(), latent_size=1,
        penalties={"r1": gan.lazy(gan.r1(2.0), 2, scaled=False)},
    )  # fmt: skip
    batch = jnp.ones((2, 1)), jnp.array([1, 0])
    theta, psi, carry = jnp.array([3.0, 5.0]), jnp.array([10.0, 100.0]), objectives.carry
    for added in ([1e4, 100], [0, 0], [1e4, 100]):
        # one step: x_s is the data, or what the generator returned
        losses, metrics, carry = objectives.critic(KEY, psi, theta, batch, **carry)
        np.testing.assert_allclose(losses, np.add([500 - 100, 30 - 10], added), rtol=1e-6)
        np.testing.assert_allclose(metrics["r1"], (1e4 + 100) / 2, rtol=1e-6)
    assert carry["updates"] == 3
    _, _, kept = objectives.generator(KEY, theta, psi, batch, **carry)
    chex.assert_trees_all_equal(kept, carry)


CHAIN = gan.adaptive_diffusion(kimg=0.5, std=0.5)


def shift(key, theta, x):
    """A generator that returns θ."""
    return jnp.broadcast_to(theta, x.shape)


def at_time(params, x_t, t):
    """A critic a x_t + b t."""
    a, b = params
    return a * x_t.sum(-1) + b * t


def test_the_critic_of_a_diffusion_gan_sees_the_chain():
    """At T = 505 and its last step: E x_t = √ᾱ x, Var x_t = (1 − ᾱ) std², and R1 in the clean data is γ/2 a² ᾱ."""
    objectives = gan.adversarial_objectives(
        shift,
        at_time,
        gan.wasserstein(),
        noise=CHAIN,
        penalties={"r1": gan.r1(2.0), "gp": gan.gradient_penalty(1.0, 0)},
    )
    assert set(objectives.carry) == {"chain_state"}
    start = objectives.carry["chain_state"]
    carry = {"chain_state": start.replace(p=jnp.float32(0.5), times=jnp.full(64, 505))}
    alpha_bar = np.prod(1 - np.linspace(1e-4, 0.02, 505))
    params, theta, x = (jnp.float32(3), jnp.float32(0.2)), jnp.float32(-2), jnp.full((N, 1), 5.0)
    losses, metrics, after = jax.jit(objectives.critic)(KEY, params, theta, x, **carry)
    assert metrics["diffusion_steps"] == 505
    deviation = 3 * 0.5 * np.sqrt(1 - alpha_bar)
    for name, mean in (("real_logit", 5), ("fake_logit", -2)):
        found = np.asarray(metrics[name], np.float64)
        exact = 3 * np.sqrt(alpha_bar) * mean + 0.2 * 0.505
        assert abs(found.mean() - exact) < 5 * deviation / np.sqrt(N), name
        assert abs(found.std() / deviation - 1) < 5 / np.sqrt(2 * N), name
    assert abs(np.corrcoef(metrics["real_logit"], metrics["fake_logit"])[0, 1]) < 5 / np.sqrt(N)  # own noise
    for name in ("r1", "gp"):
        np.testing.assert_allclose(metrics[name], 9 * alpha_bar, rtol=1e-3)
    np.testing.assert_allclose(
        losses, metrics["fake_logit"] - metrics["real_logit"] + metrics["r1"] + metrics["gp"], rtol=1e-4, atol=1e-4
    )
    assert after["chain_state"].images == N
    # the generator sees the same chain, and leaves it as it is
    _, seen, kept = jax.jit(objectives.generator)(KEY, theta, params, x, **carry)
    assert abs(seen["fake_logit"].mean() + 6 * np.sqrt(alpha_bar) - 0.2 * 0.505) < 5 * deviation / np.sqrt(N)
    chex.assert_trees_all_equal(kept, carry)


def test_the_chain_follows_the_critics_updates():
    """A critic that is sure of real data lets p rise by 4·batch/(1000 kimg) in every fourth update."""
    objectives = gan.adversarial_objectives(shift, at_time, gan.hinge(), noise=CHAIN)
    params, carry = (jnp.float32(0), jnp.float32(0)), objectives.carry
    sure = (jnp.float32(1), jnp.float32(0))
    update = jax.jit(objectives.critic)
    for n in range(8):
        _, _, carry = update(jax.random.key(n), sure, jnp.float32(0), jnp.full((16, 1), 50.0), **carry)
        np.testing.assert_allclose(carry["chain_state"].p, (n + 1) // 4 * 4 * 16 / 500, rtol=1e-5)
    for n in range(4):
        _, _, carry = update(jax.random.key(n), params, jnp.float32(0), jnp.ones((16, 1)), **carry)
    np.testing.assert_allclose(carry["chain_state"].p, 4 * 16 / 500, rtol=1e-5)


def test_a_critic_with_a_state_and_conditions_also_gets_the_times():
    """(params, x_t, t, *cond, state): the state counts the critic's updates alone."""
    seen = []

    def counting(psi, x_t, t, label, count):
        seen.append((x_t.shape, t.shape, label.shape))
        return psi * x_t[:, 0] + count, count + 1

    objectives = gan.adversarial_objectives(
        lambda key, theta, x, label: theta * x, counting, gan.wasserstein(), noise=CHAIN, critic_state=jnp.float32(0)
    )
    batch, one = (jnp.ones((3, 1)), jnp.arange(3)), jnp.float32(0)
    _, metrics, carry = objectives.critic(KEY, one, one, batch, **objectives.carry)
    assert carry["critic_state"] == 1
    np.testing.assert_array_equal(metrics["real_logit"], 1)
    assert objectives.generator(KEY, one, one, batch, **carry)[2]["critic_state"] == 1
    assert set(seen) == {((3, 1), (3,), (3,))}


def test_refusals(unchecked):
    make = lambda **how: gan.denoising_objectives(
        **({"process": PROCESS, "generator": returns, "critic": linear, "loss": gan.hinge(), "latent_size": 1} | how)
    )
    for how, message in [
        ({"latent_size": 0}, "latent_size must be at least 1"),
        ({"process": vp()}, r"take gan\.ddgan_process\(\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            make(**how)
    zero, x = jnp.float32(0), jnp.zeros((3, 1))
    with pytest.raises(ValueError, match="squeeze the last axis"):
        make(critic=lambda params, x_s, x_t, t: x_s).critic(KEY, zero, zero, x)
    with pytest.raises(ValueError, match="network must return shape"):
        make(generator=lambda theta, x_t, t, z: z[:, 0]).critic(KEY, (zero, zero, zero), zero, x)
    with pytest.raises(TypeError, match=r"an array x or a tuple \(x, \*cond\), got list"):
        make().critic(KEY, (zero, zero, zero), zero, [x, x])

"""Both players' loss functions: closed forms, the Dirac-GAN in the train step, and what the states carry."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import slow

from jaxgen import gan, training

KEY = jax.random.key(0)


def shift(key, theta, x):
    """A generator that returns θ."""
    return jnp.broadcast_to(theta, x.shape)


def slope(psi, x):
    """The Dirac-GAN's critic, −ψx."""
    return -psi * x.sum(-1)


def test_losses_are_those_of_the_logits_and_penalties_are_added():
    x, theta, psi = jnp.array([[0.5], [-1.0]]), jnp.float32(0.3), jnp.float32(0.8)
    for loss in (gan.hinge(), gan.relativistic_pairing()):
        objectives = gan.adversarial_objectives(
            shift, slope, loss, penalties={"r1": gan.r1(0.4), "gp": gan.gradient_penalty(0.1, 0.0)}
        )
        assert objectives.carry == {}
        real, fake = -psi * x[:, 0], jnp.full(2, -psi * theta)
        losses, metrics, carry = objectives.critic(KEY, psi, theta, x)
        np.testing.assert_allclose(losses, loss.critic(real, fake) + 0.3 * psi**2, rtol=1e-6)
        np.testing.assert_allclose(metrics["r1"], 0.2 * psi**2, rtol=1e-6)
        np.testing.assert_allclose(metrics["real_logit"], real, rtol=1e-6)
        assert (carry, set(metrics)) == ({}, {"real_logit", "fake_logit", "r1", "gp"})
        losses, metrics, _ = objectives.generator(KEY, theta, psi, x)
        np.testing.assert_allclose(losses, loss.generator(real, fake), rtol=1e-6)
        np.testing.assert_allclose(metrics["fake_logit"], fake, rtol=1e-6)


def test_both_players_are_told_the_conditions():
    generate = lambda key, theta, x, label: theta[label][:, None]
    judge = lambda psi, x, label: psi[label] * x[:, 0]
    objectives = gan.adversarial_objectives(generate, judge, gan.wasserstein())
    batch = jnp.ones((2, 1)), jnp.array([1, 0])
    theta, psi = jnp.array([3.0, 5.0]), jnp.array([10.0, 100.0])
    np.testing.assert_allclose(objectives.critic(KEY, psi, theta, batch)[0], [500 - 100, 30 - 10])
    np.testing.assert_allclose(objectives.generator(KEY, theta, psi, batch)[0], [-500, -30])


@pytest.mark.parametrize(
    ("order", "remedy"),
    [
        ("simultaneous", "r1"),
        ("alternating", "consensus"),
        slow("simultaneous", "consensus"),
        slow("alternating", "r1"),
    ],
)
def test_the_train_step_plays_the_dirac_gan(order, remedy):
    """Its iterates are those of `dynamics`, for data at 0 and two steps of the critic, which moves first."""
    h, gamma = 0.3, 0.7
    objectives = gan.adversarial_objectives(
        shift, slope, gan.minimax(), penalties={"r1": gan.r1(gamma)} if remedy == "r1" else {}
    )
    if remedy == "consensus":
        objectives = gan.consensus(objectives, gamma)
    optimizers = optax.sgd(h), optax.sgd(h)
    step = training.make_adversarial_step(
        objectives.generator, objectives.critic, *optimizers, critic_steps=2, order=order
    )
    state = training.create_adversarial_state(KEY, jnp.float32(0.5), jnp.float32(0.4), *optimizers)
    field = gan.dirac_variant(remedy, gamma=gamma)
    make = gan.simultaneous if order == "simultaneous" else lambda *a, **k: gan.alternating(*a, first="critic", **k)
    path = gan.trajectory(make(field, h, critic_steps=2), gan.Players(jnp.float32(0.5), jnp.float32(0.4)), 5)
    for n in range(1, 6):
        state, metrics = step(state, jnp.zeros((4, 1)))
        found = state.generator.params, state.critic.params
        np.testing.assert_allclose(found, [leaf[n] for leaf in path], rtol=1e-4, atol=1e-6)
    assert f"critic/{remedy}" in metrics


def test_noise_follows_the_generators_updates_and_lazy_penalties_the_critics():
    """For the critic ‖x‖² and data at 0 the mean logit is σ², here σ = step of the game, with 3 critic steps each."""
    n = 20_000
    objectives = gan.adversarial_objectives(
        lambda key, theta, x: jnp.zeros_like(x),
        lambda psi, x: (x**2).sum(-1) + psi,
        gan.wasserstein(),
        penalties={"mean": gan.lazy(lambda key, critic, real, fake: jnp.ones(len(real)), 2)},
        noise=lambda step: step.astype(float),
        critic_steps=3,
    )
    x, psi = jnp.zeros((n, 1)), jnp.float32(0)
    error = np.sqrt(2 / n)
    critic = jax.jit(lambda carry: objectives.critic(KEY, psi, psi, x, **carry)[1:])
    carry = objectives.carry
    for update in range(7):
        metrics, carry = critic(carry)
        expected = (update // 3) ** 2
        for name in ("real_logit", "fake_logit"):
            assert abs(metrics[name].mean() - expected) <= 4 * error * expected
        assert metrics["mean"].mean() == (2 if update % 2 == 0 else 0)
    assert carry["updates"] == 7
    correlation = np.corrcoef(metrics["real_logit"], metrics["fake_logit"])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(n)  # noise of their own
    _, metrics, carry = objectives.generator(KEY, psi, psi, x, updates=jnp.int32(5))
    assert abs(metrics["fake_logit"].mean() - 25) < 4 * error * 25
    assert carry["updates"] == 6


class Normalised(nn.Module):
    """A linear critic of spectral norm 1."""

    @nn.compact
    def __call__(self, x, update_stats=False):
        return nn.SpectralNorm(nn.Dense(4, use_bias=False))(x, update_stats=update_stats)


def test_spectral_normalisation_by_flax_finds_the_operator_norm():
    """The state's power iteration comes to the largest singular value, in the critic's and the generator's updates."""
    network, x = Normalised(), jax.random.normal(KEY, (8, 6))
    variables = network.init(KEY, x)
    kernel = np.asarray(jax.tree.leaves(variables["params"])[0])

    def judge(params, x, state):
        variables = {"params": params, "batch_stats": state}
        logits, updated = network.apply(variables, x, update_stats=True, mutable=["batch_stats"])
        return logits[:, 0], updated["batch_stats"]

    objectives = gan.adversarial_objectives(
        shift, judge, gan.wasserstein(), penalties={"r1": gan.r1(2.0)}, critic_state=variables["batch_stats"]
    )
    optimizers = optax.sgd(0.0), optax.sgd(0.0)
    state = training.AdversarialState(
        *(
            training.create_state(KEY, params, optimizer, objectives.carry)
            for params, optimizer in zip((jnp.float32(0), variables["params"]), optimizers, strict=True)
        )
    )
    step = training.make_adversarial_step(objectives.generator, objectives.critic, *optimizers)
    for _ in range(100):
        state, metrics = step(state, x)
    norm = np.linalg.svd(kernel)[1][0]
    for player in (state.critic, state.generator):
        (sigma,) = (leaf for leaf in jax.tree.leaves(player.carry["critic_state"]) if leaf.ndim == 0)
        np.testing.assert_allclose(sigma, norm, rtol=1e-5)
    np.testing.assert_allclose(metrics["critic/r1"], ((kernel[:, 0] / norm) ** 2).sum(), rtol=1e-4)


def test_the_spectral_norm_of_a_reshaped_kernel_is_not_that_of_the_convolution():
    """A 3 × 3 kernel of ones has norm 3 as a column, and as a circular convolution it multiplies constants by 9."""
    layer = nn.SpectralNorm(nn.Conv(1, (3, 3), padding="CIRCULAR", use_bias=False, kernel_init=nn.initializers.ones))
    image = jnp.ones((1, 6, 6, 1))
    variables = layer.init(KEY, image, update_stats=False)
    out, _ = layer.apply(variables, image, update_stats=True, mutable=["batch_stats"])
    np.testing.assert_allclose(out, 9 / 3, rtol=1e-5)


def test_bad_arguments_are_refused(unchecked):
    make = lambda **how: gan.adversarial_objectives(shift, slope, gan.hinge(), **how)
    for how, message in (
        ({"critic_steps": 0}, "critic_steps must be at least 1"),
        ({"noise": -1.0}, "noise must be finite and not negative"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**how)
    x = jnp.ones((3, 1))
    with pytest.raises(ValueError, match="data of the real data's shape"):
        gan.adversarial_objectives(lambda key, theta, x: jnp.ones((2, 1)), slope, gan.hinge()).critic(KEY, 1.0, 1.0, x)
    with pytest.raises(ValueError, match="squeeze the last axis"):
        gan.adversarial_objectives(shift, lambda psi, x: psi * x, gan.hinge()).generator(KEY, 1.0, 1.0, x)
    with pytest.raises(ValueError, match="a penalty is called consensus"):
        gan.consensus(make(penalties={"consensus": gan.r1(1.0)}), 1.0).critic(KEY, 1.0, 1.0, x)
    with pytest.raises(ValueError, match="gamma must be finite and not negative"):
        gan.consensus(make(), -1.0)

"""Both players' loss functions: closed forms, the Dirac-GAN in the train step, and what the states carry."""

import chex
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


def still(objectives, critic_steps=1, order="alternating"):
    """The train step, with learning rates of 0, and its state for parameters of 0."""
    optimizers = optax.sgd(0.0), optax.sgd(0.0)
    step = training.make_adversarial_step(
        objectives.generator, objectives.critic, *optimizers, critic_steps=critic_steps, order=order
    )
    params = jnp.float32(0), jnp.float32(0)
    return step, training.create_adversarial_state(KEY, *params, *optimizers, objectives.carry)


def squared(psi, x):
    """A critic whose mean logit is σ² where it sees noise alone."""
    return (x**2).sum(-1) + psi


@pytest.mark.parametrize(
    ("critic_steps", "order"),
    [(1, "simultaneous"), (4, "alternating"), slow(1, "alternating"), slow(4, "simultaneous")],
)
def test_all_noise_of_a_step_is_that_of_the_generators_updates_before_it(critic_steps, order):
    """Here σ is their number, and the variance of σ²ε² is 2σ⁴."""
    n = 5000
    objectives = gan.adversarial_objectives(
        shift, squared, gan.wasserstein(), noise=lambda step: step.astype(float), critic_steps=critic_steps
    )
    step, state = still(objectives, critic_steps, order)
    for played in range(4):
        state, metrics = step(state, jnp.zeros((critic_steps * n, 1)))
        for name in ("critic/real_logit", "critic/fake_logit", "generator/fake_logit"):
            assert abs(metrics[name] - played**2) <= 4 * played**2 * np.sqrt(2 / n)
        assert state.carry["updates"] == critic_steps * (played + 1)


def test_the_noise_of_updates_by_hand():
    """For 3 updates of the critic a step, and a generator that plays before any of them."""
    objectives = gan.adversarial_objectives(
        shift, squared, gan.wasserstein(), noise=lambda step: step.astype(float), critic_steps=3
    )
    x, zero = jnp.zeros((20_000, 1)), jnp.float32(0)
    error, carry = np.sqrt(2 / len(x)), objectives.carry
    for update in range(7):
        _, metrics, after = objectives.critic(KEY, zero, zero, x, **carry)
        expected = [0, 0, 0, 1, 1, 1, 4][update]
        for name in ("real_logit", "fake_logit"):
            assert abs(metrics[name].mean() - expected) <= 4 * error * expected
        assert after == {"updates": update + 1}
        _, played, kept = objectives.generator(KEY, zero, zero, x, **carry)
        expected = [0, 0, 0, 0, 1, 1, 1][update]  # that of the critic's last update
        assert abs(played["fake_logit"].mean() - expected) <= 4 * error * expected
        assert kept == carry
        carry = after
    correlation = np.corrcoef(metrics["real_logit"], metrics["fake_logit"])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(len(x))  # noise of their own


@pytest.mark.parametrize(("interval", "critic_steps"), [(15, 3), (16, 1), slow(15, 1), slow(16, 3)])
def test_the_mean_of_a_lazy_penalty_in_the_train_step_is_that_of_the_plain_one(interval, critic_steps):
    """Over whole intervals, for a loss that is 0 but for the penalty. The metric is the plain value in every step."""
    constant = lambda key, critic, real, fake: jnp.full(len(real), 0.7)
    objectives = gan.adversarial_objectives(
        shift,
        lambda psi, x: psi * x[:, 0],
        gan.wasserstein(),
        penalties={"lazy": gan.lazy(constant, interval), "rare": gan.lazy(constant, interval, scaled=False)},
        critic_steps=critic_steps,
    )
    step, state = still(objectives, critic_steps)
    losses = []
    for _ in range(np.lcm(interval, critic_steps) // critic_steps):
        state, metrics = step(state, jnp.ones((2 * critic_steps, 1)))
        losses.append(metrics["critic/loss"])
        for name in ("lazy", "rare"):
            np.testing.assert_allclose(metrics[f"critic/{name}"], 0.7, rtol=1e-6)
    np.testing.assert_allclose(np.mean(losses), 0.7 * (1 + 1 / interval), rtol=1e-6)
    assert np.count_nonzero(losses) == len(losses) * critic_steps // interval


def test_the_metric_of_a_lazy_penalty_is_its_last_value():
    """R1 of −ψx is γψ²/2, at ψ = 1 … 5 in turn and with an interval of 2."""
    objectives = gan.adversarial_objectives(shift, slope, gan.wasserstein(), penalties={"r1": gan.lazy(gan.r1(2.0), 2)})
    x, carry = jnp.zeros((3, 1)), objectives.carry
    for psi, seen, added in [(1, 1, 2), (2, 1, 0), (3, 9, 18), (4, 9, 0), (5, 25, 50)]:
        losses, metrics, carry = objectives.critic(KEY, jnp.float32(psi), jnp.float32(0), x, **carry)
        assert (metrics["r1"], carry["lazy_penalties"]["r1"]) == (seen, seen)
        np.testing.assert_array_equal(losses, added)


def test_a_scheduled_penalty_follows_the_critics_updates():
    """R1 of −ψx is γψ²/2, with γ = 2 + u after u updates; the generator's loss does not count."""
    penalty = gan.scheduled(lambda update: gan.r1(2.0 + update))
    objectives = gan.adversarial_objectives(shift, slope, gan.wasserstein(), penalties={"r1": penalty})
    x, carry = jnp.zeros((3, 1)), objectives.carry
    for update in range(3):
        losses, metrics, carry = objectives.critic(KEY, jnp.float32(3), jnp.float32(0), x, **carry)
        np.testing.assert_allclose(metrics["r1"], (2 + update) * 4.5)
        np.testing.assert_allclose(losses, (2 + update) * 4.5)
        assert objectives.generator(KEY, jnp.float32(0), jnp.float32(3), x, **carry)[2] == carry
    assert carry == {"updates": 3}


def test_consensus_asks_for_the_noise_and_the_penalties_of_the_step():
    """With 3 updates of the critic a step, v is that of objectives whose noise and penalties are the step's own.

    Those of a step, σ = n and R1 for u = 0, 2, 4, …, are written down here.
    """
    x, theta, psi, gamma = jnp.ones((6, 1)), jnp.float32(0.3), jnp.float32(0.8), 0.5
    make = lambda **how: gan.consensus(gan.adversarial_objectives(shift, slope, gan.minimax(), **how), gamma)
    scheduled = make(penalties={"r1": gan.lazy(gan.r1(0.4), 2, scaled=False)}, noise=lambda n: 0.1 * n, critic_steps=3)
    for updates, sigma, penalised in [(0, 0, True), (3, 0.1, False), (4, 0.1, True), (6, 0.2, True)]:
        plain = make(penalties={"r1": gan.r1(0.4 if penalised else 0.0)}, noise=sigma)
        carry = scheduled.carry | {"updates": jnp.int32(updates)}
        found, expected = scheduled.critic(KEY, psi, theta, x, **carry), plain.critic(KEY, psi, theta, x)
        np.testing.assert_allclose(found[1]["consensus"], expected[1]["consensus"], rtol=1e-5)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    # the generator plays after the third update of a step, u = 2, 5 and 8
    for updates, sigma, penalised in [(3, 0, True), (6, 0.1, False), (9, 0.2, True)]:
        plain = make(penalties={"r1": gan.r1(0.4 if penalised else 0.0)}, noise=sigma)
        carry = scheduled.carry | {"updates": jnp.int32(updates)}
        found, expected = scheduled.generator(KEY, theta, psi, x, **carry), plain.generator(KEY, theta, psi, x)
        np.testing.assert_allclose(found[1]["consensus"], expected[1]["consensus"], rtol=1e-5)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
        assert found[2] == carry


def test_the_critics_updates_alone_advance_its_state():
    """The state counts, and a logit is the count: in the second step the critic's are 4, 5 and 6."""
    counting = lambda psi, x, count: (jnp.full(len(x), count), count + 1)
    objectives = gan.adversarial_objectives(
        shift, counting, gan.wasserstein(), critic_state=jnp.float32(0), critic_steps=3
    )
    step, state = still(objectives, 3)
    for _ in range(2):
        state, metrics = step(state, jnp.ones((6, 1)))
    assert state.carry == {"critic_state": 6}
    assert (metrics["critic/real_logit"], metrics["critic/fake_logit"]) == (5, 5)
    assert metrics["generator/fake_logit"] == 6


class Normalised(nn.Module):
    """A linear critic of spectral norm 1."""

    @nn.compact
    def __call__(self, x, update_stats=False):
        return nn.SpectralNorm(nn.Dense(4, use_bias=False))(x, update_stats=update_stats)


def test_spectral_normalisation_by_flax_finds_the_operator_norm():
    """The state's power iteration comes to the largest singular value; the generator's update leaves it as it is."""
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
    params, optimizers = (jnp.float32(0), variables["params"]), (optax.sgd(0.0), optax.sgd(0.0))
    state = training.create_adversarial_state(KEY, *params, *optimizers, objectives.carry)
    assert state.generator.carry == state.critic.carry == {}
    _, _, once = objectives.critic(KEY, params[1], params[0], x, **objectives.carry)
    chex.assert_trees_all_equal(once["critic_state"], judge(params[1], x, variables["batch_stats"])[1])
    _, _, kept = objectives.generator(KEY, params[0], params[1], x, **once)
    chex.assert_trees_all_equal(kept, once)
    step = training.make_adversarial_step(objectives.generator, objectives.critic, *optimizers)
    for _ in range(100):
        state, metrics = step(state, x)
    norm = np.linalg.svd(kernel)[1][0]
    (sigma,) = (leaf for leaf in jax.tree.leaves(state.carry["critic_state"]) if leaf.ndim == 0)
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


@pytest.mark.parametrize(
    ("how", "missing"),
    [
        ({"noise": optax.linear_schedule(1.0, 0.0, 9)}, "no updates"),
        ({"penalties": {"r1": gan.lazy(gan.r1(1.0), 2)}}, "no lazy_penalties, updates"),
        ({"critic_state": jnp.float32(1)}, "no critic_state"),
    ],
)
def test_a_forgotten_carry_is_named(how, missing):
    objectives = gan.adversarial_objectives(shift, lambda psi, x, *state: (slope(psi, x), *state), gan.hinge(), **how)
    step, _ = still(objectives)
    optimizers = optax.sgd(0.0), optax.sgd(0.0)
    state = training.create_adversarial_state(KEY, jnp.float32(0), jnp.float32(0), *optimizers)
    with pytest.raises(ValueError, match=f"has {missing}: create the states with carry=objectives.carry"):
        step(state, jnp.ones((2, 1)))
    for of in (objectives, gan.consensus(objectives, 1.0)):
        with pytest.raises(ValueError, match=f"has {missing}: create the states with carry=objectives.carry"):
            of.generator(KEY, jnp.float32(0), jnp.float32(0), jnp.ones((2, 1)))


def test_a_foreign_carry_and_a_batch_in_a_list_are_refused():
    objectives, zero, x = gan.adversarial_objectives(shift, slope, gan.hinge()), jnp.float32(0), jnp.ones((2, 1))
    with pytest.raises(ValueError, match="has chain_state, which these objectives do not know"):
        objectives.critic(KEY, zero, zero, x, chain_state=zero)
    for batch, remedy in (([x, x], r"list: pass tuple\(batch\)"), ({"x": x}, "dict: pass the data, or a tuple")):
        with pytest.raises(TypeError, match=r"an array x or a tuple \(x, \*cond\), got " + remedy):
            objectives.critic(KEY, zero, zero, batch)

"""Two players: a quadratic game, whose iterates under gradient descent are powers of a matrix."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import slow

from jaxgen.data import Batches
from jaxgen.training import (
    AdversarialState,
    Checkpoints,
    Diverged,
    batch_sharding,
    create_adversarial_state,
    create_state,
    data_mesh,
    fit,
    fully_sharded,
    gather,
    make_adversarial_step,
    place,
    replicated,
    warmup_ema,
)
from jaxgen.training.finite import first_nonfinite

RNG = np.random.default_rng(0)
# L(θ, ψ) = ½ θᵀAθ + θᵀBψ − ½ ψᵀDψ + x cᵀψ + x eᵀθ, which θ minimises and ψ maximises; x are the data
A, D = np.diag([0.5, 1.0, 0.0]), np.diag([0.3, 0.0, 0.8])
B, C, E = RNG.normal(size=(3, 3)), RNG.normal(size=3), RNG.normal(size=3)
RATES = 0.1, 0.2
THETA, PSI = RNG.normal(size=3), RNG.normal(size=3)


def game(theta, psi, x):
    fixed = 0.5 * theta @ A @ theta + theta @ B @ psi - 0.5 * psi @ D @ psi
    return fixed + x * (C @ psi) + x * (E @ theta)


def generator_loss(key, theta, psi, x):
    return game(theta, psi, x)


def critic_loss(key, psi, theta, x):
    return -game(theta, psi, x), {"length": jnp.linalg.norm(psi)}


def matrix(order, parts):
    """The affine map z ↦ Mz of one step on z = (θ, ψ, 1), where the critic's update i sees data of mean parts[i]."""

    def update(rows, gradient, rate):
        step = np.eye(7)
        step[rows] -= rate * gradient
        return step

    def generator(mean):
        return update(slice(0, 3), np.hstack([A, B, mean * E[:, None]]), RATES[0])

    def critic(mean):
        return update(slice(3, 6), np.hstack([-B.T, D, -mean * C[:, None]]), RATES[1])

    before = np.eye(7)
    for mean in parts:
        before = critic(mean) @ before
    after = generator(parts[-1])
    if order == "alternating":
        return after @ before
    return np.vstack([after[:3], before[3:]])


@pytest.mark.parametrize("critic_steps", [1, 3])
@pytest.mark.parametrize("order", ["alternating", "simultaneous"])
def test_the_iterates_of_a_quadratic_game_are_powers_of_a_matrix(order, critic_steps):
    optimizers = [optax.sgd(rate) for rate in RATES]
    step = make_adversarial_step(
        generator_loss, critic_loss, *optimizers, critic_steps=critic_steps, order=order, ema=warmup_ema(0.9)
    )
    state = create_adversarial_state(jax.random.key(0), jnp.float32(THETA), jnp.float32(PSI), *optimizers)
    batch = RNG.normal(size=4 * critic_steps).astype(np.float32)
    m = matrix(order, [batch[i::critic_steps].mean() for i in range(critic_steps)])
    z = np.array([*THETA, *PSI, 1.0])
    average = THETA
    for n in range(1, 21):
        state, metrics = step(state, batch)
        exact = np.linalg.matrix_power(m, n) @ z
        decay = min(0.9, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * exact[:3]
        np.testing.assert_allclose([*state.generator.params, *state.critic.params], exact[:6], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(state.generator.ema, average, rtol=1e-4, atol=1e-5)
    assert (state.step, state.critic.step) == (20, 20 * critic_steps)
    assert metrics.keys() == {
        "generator/loss", "generator/grad_norm", "critic/loss", "critic/grad_norm", "critic/length"
    }  # fmt: skip
    # the generator's metrics are from before its last update
    theta, psi = (np.linalg.matrix_power(m, 19) @ z)[:3], exact[3:6]
    if order == "alternating":
        expected = game(theta, psi, batch[critic_steps - 1 :: critic_steps]).mean()
        np.testing.assert_allclose(metrics["generator/loss"], expected, rtol=1e-3, atol=1e-4)


OPTIMIZERS = optax.adam(1e-2), optax.adam(2e-2)


def noisy(key, n):
    return 1 + 0.1 * jax.random.normal(key, (n, 1))


def noisy_step(layout=None):
    return make_adversarial_step(
        lambda key, g, c, x: -jnp.sum(noisy(key, len(x)) * g["w"] * c["w"], -1),
        lambda key, c, g, x: jnp.sum((noisy(key, len(x)) * g["w"] - x) * c["w"], -1) + jnp.sum(c["w"] ** 2),
        *OPTIMIZERS, critic_steps=2, layout=layout,
    )  # fmt: skip


def start():
    return create_adversarial_state(jax.random.key(1), {"w": jnp.ones(16)}, {"w": jnp.ones(16)}, *OPTIMIZERS)


DATA = RNG.normal(size=(64, 16)).astype(np.float32)


def play(layout, state, steps=12, **options):
    batches = Batches(DATA, 32, seed=3, sharding=None if layout is None else batch_sharding(data_mesh()))
    return fit(noisy_step(layout), state, batches, steps=steps, log_every=1, progress=False, **options)


@pytest.fixture(scope="module")
def alone():
    return play(None, start())


@pytest.mark.parametrize("whole", [False, slow(True)])
def test_eight_devices_play_like_one(alone, whole):
    layout = replicated(data_mesh()) if whole else fully_sharded(start(), data_mesh(), min_size=16)
    spread = play(layout, place(start(), layout), steps_per_call=4)
    losses = alone.history["critic/loss"][1]
    assert losses[-1] < losses[0]
    for name in ("generator/loss", "critic/loss"):
        np.testing.assert_allclose(spread.history[name][1], alone.history[name][1], rtol=2e-5)
    for player in ("generator", "critic"):
        ours, theirs = getattr(gather(spread.state), player), getattr(alone.state, player)
        chex.assert_trees_all_close((ours.params, ours.ema), (theirs.params, theirs.ema), rtol=1e-4, atol=1e-5)


def test_a_resumed_game_is_the_same_and_gives_its_parameters_alone(alone, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        play(None, start(), steps=7, checkpoints=checkpoints)
        resumed = play(None, checkpoints.restore(start()), checkpoints=checkpoints).state
        chex.assert_trees_all_equal(resumed, alone.state)
        for name, expected in (("generator/ema", resumed.generator.ema), ("critic/params", resumed.critic.params)):
            chex.assert_trees_all_equal(checkpoints.restore_params(name), expected)
        with pytest.raises(ValueError, match=r"holds no 'ema', only \['critic/ema', .*, 'generator/params'\]"):
            checkpoints.restore_params()


def test_the_players_keys_differ_and_follow_their_own_steps():
    seen = {"generator": [], "critic": []}

    def loss_of(player):
        def loss(key, params, opponent, x):
            jax.debug.callback(lambda k: seen[player].append(k.tolist()), jax.random.key_data(key))
            return x * params

        return loss

    optimizer = optax.sgd(0.0)
    state = create_adversarial_state(jax.random.key(5), jnp.float32(0), jnp.float32(0), optimizer, optimizer)
    step = make_adversarial_step(loss_of("generator"), loss_of("critic"), optimizer, optimizer, critic_steps=2)
    keys = {"generator": state.generator.key, "critic": state.critic.key}
    folded = {p: [jax.random.key_data(jax.random.fold_in(k, n)).tolist() for n in range(4)] for p, k in keys.items()}
    for _ in range(2):
        state, _ = step(state, jnp.ones(2))
    jax.effects_barrier()
    assert seen["generator"] == folded["generator"][:2]
    assert sorted(seen["critic"]) == sorted(folded["critic"])


def test_a_player_may_have_a_carry_and_must_stay_finite(tmp_path):
    optimizer = optax.sgd(0.1)

    def counting(key, params, opponent, x, seen):
        return params * x, {}, {"seen": seen + 1}

    def begin():
        player = lambda **how: create_state(jax.random.key(0), jnp.float32(1), optimizer, **how)
        return AdversarialState(player(), player(carry={"seen": jnp.int32(0)}))

    step = make_adversarial_step(lambda key, g, c, x: g * c * x, counting, optimizer, optimizer, critic_steps=3)
    result = fit(step, begin(), lambda n: jnp.ones(6), steps=2, progress=False)
    assert result.state.critic.carry["seen"] == 6
    infinite = result.state.critic.replace(params=jnp.float32(jnp.inf))
    assert first_nonfinite(result.state) is None
    assert first_nonfinite(result.state.replace(critic=infinite)) == "critic/params"
    with pytest.raises(Diverged, match=r"critic/\w+ is nan at step 2"):
        fit(step, begin(), lambda n: jnp.where(n == 1, jnp.nan, jnp.ones(6)), steps=3, log_every=1, progress=False)


def sharing_step(layout=None):
    """Players whose losses depend on a shared pair: the critic's updates draw one and count, the generator's read it.

    The generator has a carry of its own too.
    """

    def critic_loss(key, c, g, x, scale, updates):
        noise = noisy(key, len(x))
        losses = jnp.sum((noise * g["w"] - x) * c["w"], -1) + jnp.sum(c["w"] ** 2)
        carry = {"scale": 0.5 * scale + jnp.abs(noise.mean() + x.mean()), "updates": updates + 1}
        return scale * losses, {"scale": scale}, carry

    def generator_loss(key, g, c, x, scale, updates, seen):
        losses = -scale * jnp.sum(noisy(key, len(x)) * g["w"] * c["w"], -1)
        return losses, {"scale": scale}, {"scale": scale, "updates": updates, "seen": seen + updates}

    return make_adversarial_step(generator_loss, critic_loss, *OPTIMIZERS, critic_steps=2, layout=layout)


def sharing_start():
    carry = {"scale": jnp.float32(1), "updates": jnp.int32(0)}
    state = create_adversarial_state(jax.random.key(1), {"w": jnp.ones(16)}, {"w": jnp.ones(16)}, *OPTIMIZERS, carry)
    generator = create_state(jax.random.key(2), {"w": jnp.ones(16)}, OPTIMIZERS[0], {"seen": jnp.int32(0)})
    return state.replace(generator=generator)


def share(layout, state, steps=6, **options):
    batches = Batches(DATA, 32, seed=3, sharding=None if layout is None else batch_sharding(data_mesh()))
    return fit(sharing_step(layout), state, batches, steps=steps, log_every=1, progress=False, **options)


@pytest.fixture(scope="module")
def shared_alone():
    return share(None, sharing_start())


def test_what_is_shared_passes_from_the_critics_updates_to_the_generators(shared_alone):
    state, history = shared_alone.state, shared_alone.history
    assert state.carry["updates"] == 12
    assert state.generator.carry == {"seen": sum(2 * n for n in range(1, 7))}
    # the recursion by hand: the critic's keys are fold_in(key, update), and its batches every second row
    key, scale = sharing_start().critic.key, 1.0
    for n, found in enumerate(history["generator/scale"][1]):
        seen, batch = [], np.asarray(Batches(DATA, 32, seed=3)(n))
        for i in range(2):
            seen.append(scale)
            noise = noisy(jax.random.fold_in(key, 2 * n + i), 16)
            scale = 0.5 * scale + abs(float(noise.mean()) + batch[i::2].mean())
        np.testing.assert_allclose(history["critic/scale"][1][n], np.mean(seen), rtol=1e-4)
        np.testing.assert_allclose(found, scale, rtol=1e-4)


def test_a_resumed_game_keeps_what_is_shared_bit_for_bit(shared_alone, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        share(None, sharing_start(), steps=3, checkpoints=checkpoints)
        resumed = share(None, checkpoints.restore(sharing_start()), checkpoints=checkpoints).state
    chex.assert_trees_all_equal(resumed, shared_alone.state)


@pytest.mark.slow
def test_what_is_shared_is_the_same_on_eight_devices(shared_alone):
    layout = fully_sharded(sharing_start(), data_mesh(), min_size=16)
    spread = gather(share(layout, place(sharing_start(), layout)).state)
    chex.assert_trees_all_close(spread.carry, shared_alone.state.carry, rtol=1e-5)
    chex.assert_trees_all_close(spread.generator.params, shared_alone.state.generator.params, rtol=1e-4, atol=1e-5)


def test_refusals_of_a_shared_carry(unchecked):
    optimizer = optax.sgd(0.1)
    player = lambda: create_state(jax.random.key(0), jnp.float32(1), optimizer, {"seen": jnp.int32(0)})
    state = AdversarialState(player(), player(), {"seen": jnp.int32(0)})
    step = make_adversarial_step(generator_loss, critic_loss, optimizer, optimizer)
    with pytest.raises(ValueError, match=r"both have \['seen'\]: give the entries other names"):
        step(state, jnp.ones(4))
    with pytest.raises(TypeError, match="carry must be a dict"):
        create_adversarial_state(jax.random.key(0), jnp.ones(3), jnp.ones(3), optimizer, optimizer, jnp.ones(2))
    # a player that drops what is shared
    state = create_adversarial_state(
        jax.random.key(0), jnp.ones(()), jnp.ones(()), optimizer, optimizer, {"seen": jnp.int32(0)}
    )
    forgetful = make_adversarial_step(lambda key, g, c, x, seen: x, lambda key, c, g, x, seen: x, optimizer, optimizer)
    with pytest.raises(ValueError, match=r"must return .* with the carry of the state"):
        forgetful(state, jnp.ones(4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"critic_steps": 0}, "critic_steps must be at least 1, got 0"),
        ({"order": "together"}, "unknown order 'together': choose alternating or simultaneous"),
        ({"critic_steps": 3}, "critic_steps=3 does not divide the batch of 4 examples"),
    ],
)
def test_refusals(options, message, unchecked):
    optimizers = [optax.sgd(rate) for rate in RATES]
    state = create_adversarial_state(jax.random.key(0), jnp.float32(THETA), jnp.float32(PSI), *optimizers)
    with pytest.raises(ValueError, match=message):
        make_adversarial_step(generator_loss, critic_loss, *optimizers, **options)(state, jnp.ones(4))

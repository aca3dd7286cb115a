import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import slow

from jaxgen.training import create_state, make_train_step, update_ema, warmup_ema

DATA = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
BATCH = {"x": jnp.asarray(DATA), "y": jnp.asarray(DATA @ [1.0, -2.0, 0.5])}


def squares(key, params, batch):
    return (batch["x"] @ params["w"] + params["b"] - batch["y"]) ** 2


def start(optimizer, seed=0):
    return create_state(jax.random.key(seed), {"w": jnp.zeros(3), "b": jnp.zeros(())}, optimizer)


def test_one_step_of_gradient_descent_by_hand():
    optimizer = optax.sgd(0.1)
    state, metrics = make_train_step(squares, optimizer, ema=warmup_ema(0.9))(start(optimizer), BATCH)
    x, y = DATA.astype(np.float64), np.asarray(BATCH["y"], np.float64)
    gradient = np.append(-2 * (y[:, None] * x).mean(0), -2 * y.mean())
    np.testing.assert_allclose(np.append(state.params["w"], state.params["b"]), -0.1 * gradient, rtol=1e-5)
    # the first update: n = 1, decay 2/11
    np.testing.assert_allclose(state.ema["w"], 9 / 11 * -0.1 * gradient[:3], rtol=1e-5)
    assert metrics["loss"] == pytest.approx((y**2).mean(), rel=1e-5)
    assert metrics["grad_norm"] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    assert state.step == 1
    assert state.step.dtype == jnp.int32


def test_key_is_folded_with_the_step():
    optimizer = optax.sgd(0.0)
    seen = []

    def record(key, params, batch):
        jax.debug.callback(lambda k: seen.append(k.tolist()), jax.random.key_data(key))
        return squares(key, params, batch)

    step, state = make_train_step(record, optimizer), start(optimizer, seed=7)
    for _ in range(3):
        state, _ = step(state, BATCH)
    jax.effects_barrier()
    assert seen == [jax.random.key_data(jax.random.fold_in(jax.random.key(7), n)).tolist() for n in range(3)]


def test_state_is_donated_and_the_callers_arrays_are_not():
    # an optimiser may keep the very arrays it was given, and no buffer can be donated twice
    keeps = optax.GradientTransformation(init=lambda params: params, update=lambda grads, state, _: (grads, state))
    key, params = jax.random.key(0), {"w": jnp.zeros(3), "b": jnp.zeros(())}
    state = create_state(key, params, keeps)
    new, _ = make_train_step(squares, keeps)(state, BATCH)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((key, params, new, BATCH)))


@pytest.mark.parametrize("parts", [3, slow(2), slow(12)])
def test_accumulation_is_the_gradient_of_the_whole_batch(parts):
    optimizer = optax.sgd(0.1)

    def with_extra(key, params, batch):
        losses = squares(key, params, batch)
        return losses, {"worst": losses, "bias": params["b"]}

    whole, expected = make_train_step(with_extra, optimizer)(start(optimizer), BATCH)
    state, metrics = make_train_step(with_extra, optimizer, accumulate=parts)(start(optimizer), BATCH)
    chex.assert_trees_all_close(state.params, whole.params, rtol=1e-5, atol=1e-7)
    chex.assert_trees_all_close(metrics, expected, rtol=1e-5)


def test_accumulation_gives_each_part_its_own_noise():
    optimizer = optax.sgd(1.0)
    loss = lambda key, params, batch: jax.random.normal(key, (4,)) * params["b"]
    state, _ = make_train_step(loss, optimizer, accumulate=3)(start(optimizer), BATCH)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), 3)
    noise = jax.vmap(lambda key: jax.random.normal(key, (4,)))(keys)
    assert state.params["b"] == pytest.approx(-float(noise.mean()), rel=1e-5)


@pytest.mark.parametrize("parts", [slow(1), 3])
def test_a_carry_is_handed_from_pass_to_pass_and_not_differentiated(parts):
    optimizer = optax.sgd(0.1)

    def with_carry(key, params, batch, *, seen):
        losses = squares(key, params, batch) + seen.sum() * params["b"]
        return losses, {"seen": seen.sum()}, {"seen": jnp.append(seen[1:], losses.mean())}

    zeros = {"w": jnp.zeros(3), "b": jnp.zeros(())}
    state = create_state(jax.random.key(0), zeros, optimizer, carry={"seen": jnp.zeros(4)})
    step = make_train_step(chex.assert_max_traces(with_carry, n=1 if parts == 1 else 3), optimizer, accumulate=parts)
    params, seen = zeros, np.zeros(4)
    for _ in range(3):
        state, metrics = step(state, BATCH)
        gradients, carries = [], []
        for part in range(parts):
            rows = jax.tree.map(lambda x, part=part: x[part::parts], BATCH)
            carries.append(seen.sum())
            loss = lambda p, rows=rows, total=carries[-1]: jnp.mean(squares(None, p, rows)) + total * p["b"]
            value, gradient = jax.value_and_grad(loss)(params)
            gradients.append(gradient)
            seen = np.append(seen[1:], value)
        params = jax.tree.map(lambda p, *g: p - 0.1 * sum(g) / parts, params, *gradients)
        assert metrics["seen"] == pytest.approx(np.mean(carries), rel=1e-5)
    chex.assert_trees_all_close(state.params, params, rtol=1e-4)
    np.testing.assert_allclose(state.carry["seen"], seen, rtol=1e-4)


def test_without_ema_the_average_is_the_parameters():
    optimizer = optax.sgd(0.1)
    state, _ = make_train_step(squares, optimizer, ema=None)(start(optimizer), BATCH)
    chex.assert_trees_all_equal(state.ema, state.params)


def test_ema_follows_the_parameters_over_steps():
    optimizer = optax.adam(0.1)
    step, state = make_train_step(squares, optimizer, ema=lambda n: jnp.float32(0.5)), start(optimizer)
    expected = jax.tree.map(jnp.copy, state.params)
    for _ in range(5):
        state, _ = step(state, BATCH)
        expected = update_ema(expected, state.params, 0.5)
    chex.assert_trees_all_close(state.ema, expected, rtol=1e-6)


def test_bfloat16_parameters_have_a_float32_average():
    params = {"w": jnp.ones(3, jnp.bfloat16), "count": jnp.int32(0)}
    state = create_state(jax.random.key(0), params, optax.identity())
    assert state.ema["w"].dtype == jnp.float32
    assert state.ema["count"].dtype == jnp.int32


@pytest.mark.parametrize(
    ("loss", "options", "match"),
    [
        (lambda k, p, b: squares(k, p, b).mean(), {}, r"shape \(B,\), got \(\)"),
        (lambda k, p, b: squares(k, p, b)[:, None], {}, r"shape \(B,\), got \(12, 1\)"),
        (lambda k, p, b: squares(k, p, b)[:0], {}, "the batch is empty"),
        (lambda k, p, b: (squares(k, p, b), {"grad_norm": p["b"]}), {}, "grad_norm"),
        (lambda k, p, b: (squares(k, p, b), {}, {"seen": p["b"]}), {}, r"carry of the state: expected .*\{\}"),
        (squares, {"accumulate": 5}, "accumulate=5 does not divide the batch of 12"),
        (squares, {"accumulate": 0}, "at least 1, got 0"),
    ],
)
def test_refusals(loss, options, match):
    optimizer = optax.sgd(0.1)
    with pytest.raises(ValueError, match=match):
        make_train_step(loss, optimizer, **options)(start(optimizer), BATCH)


def test_refuses_an_old_style_key_and_a_carry_without_names(unchecked):
    with pytest.raises(TypeError, match=r"jax\.random\.key"):
        create_state(jax.random.PRNGKey(0), {"w": jnp.zeros(3)}, optax.sgd(0.1))
    with pytest.raises(TypeError, match="carry must be a dict"):
        create_state(jax.random.key(0), {"w": jnp.zeros(3)}, optax.sgd(0.1), carry=jnp.zeros(3))

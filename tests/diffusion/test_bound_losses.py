"""The bound as a loss, and the hybrid: unbiased, and each half trained by its own part."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_theory import MEAN, STD, VARIANCES, Theory, data
from oracles import gaussian_denoiser, nightly
from refusals import refuses

from jaxgen.diffusion import (
    bound_term,
    denoiser,
    denoising_loss,
    from_betas,
    hybrid_loss,
    linear_betas,
    subset_grid,
    target,
    variational_bound,
    vlb_loss,
    vp,
    zero_terminal_snr,
)
from jaxgen.distributions import likelihoods

CHAIN = from_betas(linear_betas(20, 0.005, 0.4))


def exact_network(x, t, cond):
    return gaussian_denoiser(CHAIN, MEAN, STD)(x, t).eps


@nightly("variance", ["fixed_small", "fixed_large"])
def test_the_vlb_loss_is_unbiased(variance):
    n, theory = 50_000, Theory(CHAIN, subset_grid(20, 20))
    found = jax.jit(
        lambda key, x0: vlb_loss(key, CHAIN, exact_network, x0, variance=variance, likelihood=likelihoods.gaussian())
    )(jax.random.key(0), data(n, (2,)))
    assert found.shape == (n,)
    expected = theory.transitions(variance).sum() + theory.reconstruction(variance)
    assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(n)
    assert found.std() / np.sqrt(n) < 0.06 * abs(expected)


def test_the_vlb_loss_sees_every_step_once_at_its_own_term():
    n, denoise = 20, gaussian_denoiser(CHAIN, MEAN, STD)
    t = jnp.arange(1, n + 1) / n

    @jax.jit
    def loss_and_x_t(x0):
        seen = []
        network = lambda x, t, cond: seen.append(x) or target(CHAIN, "v", *denoise(x, t)[:2], t)
        return vlb_loss(jax.random.key(3), CHAIN, network, x0, predicts="v", times=lambda key, n: t), seen[-1]

    x0 = data(n, (3,))
    loss, x_t = loss_and_x_t(x0)
    terms = jax.jit(jax.vmap(lambda x_t, x0, s, t: bound_term(CHAIN, denoise(x_t, t), x_t, x0, s, t)))(
        x_t[:, None], x0[:, None], jnp.arange(n) / n, t
    )
    np.testing.assert_allclose(loss, terms[:, 0] * n / 3, rtol=2e-3)


def two_headed(parameters, x, t, cond):
    """A linear network whose halves share nothing, so that their gradients can be told apart."""
    return jnp.concatenate([x @ parameters["mean"] + t[:, None], jnp.tanh(x @ parameters["variance"])], -1)


def two_heads(dtype=jnp.float32):
    values = 0.3 * jax.random.normal(jax.random.key(7), (2, 3, 3), dtype)
    return {"mean": values[0], "variance": values[1]}


@nightly(("predicts", "vlb_weight"), [("eps", 0.001), ("x0", 1.0), ("v", 0.1)])
def test_the_hybrid_trains_the_mean_by_l_simple_and_the_variance_by_the_bound(predicts, vlb_weight):
    with jax.enable_x64(True):
        process, x0 = from_betas(linear_betas(20, 0.005, 0.4)), data(64, (3,))
        shared = {"key": jax.random.key(4), "process": process, "x0": x0, "predicts": predicts}
        bound = {"likelihood": likelihoods.gaussian()}

        @jax.jit
        def losses(theta):
            network = lambda *args: two_headed(theta, *args)
            mean_half = lambda *args: jnp.split(network(*args), 2, -1)[0]
            hybrid = hybrid_loss(network=network, vlb_weight=vlb_weight, **bound, **shared)
            simple = denoising_loss(network=mean_half, **shared)
            vlb = vlb_loss(network=network, variance="learned", **bound, **shared)
            return [loss.mean() for loss in (hybrid, simple, vlb)]

        theta = two_heads(jnp.float64)
        hybrid, simple, vlb = (np.asarray(value) for value in losses(theta))
        gradients = jax.tree.map(np.asarray, jax.jacrev(lambda t: jnp.stack(losses(t)))(theta))
    np.testing.assert_allclose(hybrid, simple + vlb_weight * vlb, rtol=1e-10)
    (mean, of_simple, of_vlb), (variance, unused, variance_of_vlb) = gradients["mean"], gradients["variance"]
    np.testing.assert_allclose(mean, of_simple, rtol=1e-10)
    np.testing.assert_allclose(variance, vlb_weight * variance_of_vlb, rtol=1e-10)
    # and neither is so for want of the other
    assert np.all(np.abs(of_vlb) > 1e-6)
    assert np.all(np.abs(variance_of_vlb) > 1e-6)
    np.testing.assert_array_equal(unused, 0)


@pytest.mark.slow
def test_the_hybrid_calls_the_network_once():
    calls = []

    def network(x, t, cond):
        calls.append(cond)
        return jnp.concatenate([x, x], -1)

    hybrid_loss(jax.random.key(0), CHAIN, network, data(4, (3,)), cond="label")
    assert calls == ["label"]


@pytest.mark.slow
def test_learning_the_variance_finds_the_true_one():
    """The loss of one step is least at the fraction of the true variance."""
    theory, n = Theory(CHAIN, subset_grid(20, 20)), 20_000
    x0 = data(n)

    @jax.jit
    def loss(fraction, index):
        def network(x, t, cond):
            return jnp.concatenate([exact_network(x, t, cond), jnp.full_like(x, 2 * fraction - 1)], -1)

        options = {
            "variance": "learned",
            "likelihood": likelihoods.gaussian(),
            "times": lambda key, n: jnp.full(n, index / 20),
        }
        return vlb_loss(jax.random.key(0), CHAIN, network, x0, **options).mean()

    slope = jax.jit(jax.grad(loss))
    curvature = jax.jit(jax.grad(slope))
    ends = [np.append(values, last) for values, last in zip((theory.posterior, theory.beta), theory.last, strict=False)]
    for index in (1, 2, 10, 19):
        fraction = jnp.array(0.5)
        for _ in range(8):  # Newton
            fraction -= slope(fraction, index) / curvature(fraction, index)
        # a variance from n draws is uncertain by √(2/n) of itself, at most
        error = np.sqrt(2 / n) / np.log(ends[1][20 - index] / ends[0][20 - index])
        assert abs(fraction - theory.fractions()[20 - index]) < 4 * error, index


@nightly(
    ("make", "zero_snr"),
    [(likelihoods.discretised_gaussian, True), (likelihoods.gaussian_softmax, False), (likelihoods.gaussian, True)],
)
def test_gradients_are_finite_at_every_step(make, zero_snr):
    betas = linear_betas(20, 1e-4, 0.4)
    process, theta = from_betas(zero_terminal_snr(betas) if zero_snr else betas), two_heads()
    x0 = jnp.clip(data(20, (3,)), -1, 1)
    options = {"likelihood": make(), "times": lambda key, n: jnp.arange(1, n + 1) / n}

    @jax.jit
    def losses(theta):
        network = lambda *args: two_headed(theta, *args)
        args = jax.random.key(0), process, network, x0
        loss = hybrid_loss(*args, **options) + vlb_loss(*args, predicts="v", variance="learned", **options)
        return loss, loss

    gradient, values = jax.jit(jax.jacrev(losses, has_aux=True))(theta)
    assert np.all(np.isfinite(values))
    chex.assert_tree_all_finite(gradient)  # of each step by itself


@pytest.mark.slow
def test_dtypes_follow_the_data():
    """bfloat16 data give float32 terms, float64 data float64 ones, and a table in float64 does not widen float32."""
    network, key = lambda x, t, cond: jnp.concatenate([x, x], -1), jax.random.key(0)
    for dtype, expected, wide in (
        ("bfloat16", "float32", False),
        ("float32", "float32", True),
        ("float64", "float64", True),
    ):
        with jax.enable_x64(wide):
            process = from_betas(linear_betas(10, 0.01, 0.4))
            bound = partial(variational_bound, jax.random.split(key, 4), process)
            losses = [
                *(partial(bound, denoiser(process, network, learned_variance=True), variance=v) for v in VARIANCES),
                partial(vlb_loss, key, process, network, variance="learned"),
                partial(hybrid_loss, key, process, network),
            ]
            found = jax.eval_shape(lambda x0, losses=losses: [loss(x0) for loss in losses], jnp.ones((4, 3), dtype))
            assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {expected}


@pytest.mark.slow
def test_half_precision_data_are_widened_first():
    x0 = (jnp.arange(64, dtype=jnp.float32) / 127.5 - 1).astype(jnp.bfloat16).reshape(16, 4)
    keys, denoise = jax.random.split(jax.random.key(0), 16), gaussian_denoiser(CHAIN, MEAN, STD)
    run = jax.jit(lambda x0: variational_bound(keys, CHAIN, denoise, x0))
    chex.assert_trees_all_equal(run(x0), run(x0.astype(jnp.float32)))


@pytest.mark.slow
def test_a_training_step_compiles_once_and_jit_changes_nothing():
    def loss(theta, process, key, x0):
        return hybrid_loss(key, process, lambda *args: two_headed(theta, *args), x0).mean()

    step = jax.jit(jax.value_and_grad(chex.assert_max_traces(n=1)(loss)))
    for seed in range(3):
        process = from_betas(linear_betas(20, 0.001 * (seed + 1), 0.4))
        args = two_heads(), process, jax.random.key(seed), data(4, (3,), seed=seed)
        value, gradient = step(*args)
        chex.assert_tree_all_finite(gradient)
    np.testing.assert_allclose(value, loss(*args), rtol=2e-4)


def test_refusals(unchecked):
    x0, key, plain = data(4, (3,)), jax.random.key(0), lambda x, t, cond: x
    refuses(
        ("discrete bound needs a process of T >= 2", lambda: vlb_loss(key, vp(), plain, x0)),
        ("of T >= 2 steps", lambda: hybrid_loss(key, from_betas([0.5]), plain, x0)),
        (r"must return shape \(4, 6\)", lambda: hybrid_loss(key, CHAIN, plain, x0)),
        (r"must return shape \(4, 3\)", lambda: vlb_loss(key, CHAIN, lambda x, t, cond: jnp.tile(x, 2), x0)),
        ("unknown prediction", lambda: vlb_loss(key, CHAIN, plain, x0, predicts="noise")),
        ("unknown variance 'huge'", lambda: vlb_loss(key, CHAIN, plain, x0, variance="huge")),
        ("vlb_weight must be finite and not negative", lambda: hybrid_loss(key, CHAIN, plain, x0, vlb_weight=-1.0)),
        ("no time derivative", lambda: vlb_loss(key, CHAIN, plain, x0, predicts="velocity")),
    )

"""Mini-batches, ascents and natural gradients against full data, closed forms and the Fisher information."""

import itertools
from functools import partial

import chex
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import slow

from jaxgen.distributions import MeanFieldParams, categorical, mean_field_gaussian
from jaxgen.variational import (
    bayesian_mixture,
    importance_weighted,
    linear_gaussian,
    maximise,
    minibatch,
    natural_ascent,
    reparameterised,
    robbins_monro,
    score_function,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 2)) + np.array([[2.0, 0.0]]) * RNG.integers(0, 2, (6, 1))
PRIOR_VARIANCE = 4.0
MODEL = linear_gaussian.LinearGaussian(np.array([[1.0, 0.3], [-0.5, 0.8], [0.2, -1.1]]), np.array([0.1, 0, -0.2]), 0.7)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def bound_of(estimator, key, batch, params, **options):
    """Of the means of a mixture, the assignments summed out."""
    joint = minibatch(
        partial(bayesian_mixture.log_prior, PRIOR_VARIANCE), bayesian_mixture.log_likelihood, batch, len(X)
    )
    return estimator(key, joint, mean_field_gaussian(), params, **options)


PARAMS = MeanFieldParams(np.array([[0.3, -0.2], [1.8, 0.4]]), np.full((2, 2), -0.6))


def over_batches(estimator, size, **options):
    """The mean of bounds and gradients over all batches of a size without repetition, and those of all data."""
    params, key = jax.tree.map(jnp.asarray, PARAMS), jax.random.key(1)
    grad = jax.jit(jax.value_and_grad(lambda p, batch: bound_of(estimator, key, batch, p, **options)))
    each = [grad(params, jnp.asarray(X[list(chosen)])) for chosen in itertools.combinations(range(len(X)), size)]
    return jax.tree.map(lambda *leaves: np.mean(leaves, 0), *each), grad(params, jnp.asarray(X))


@pytest.mark.parametrize("size", [slow(1), 2, slow(5)])
@pytest.mark.parametrize("estimator", [reparameterised, score_function])
def test_c2_3_the_mean_over_all_batches_is_the_full_elbo(estimator, size):
    """Exactly, for the same draws of z, and so is that of the gradients: the batch adds noise and no bias."""
    mean, full = over_batches(estimator, size, samples=3)
    chex.assert_trees_all_close(mean, full, rtol=1e-10)


@pytest.mark.slow
def test_an_importance_weighted_bound_of_a_batch_is_biased():
    mean, full = over_batches(importance_weighted, 2, samples=8)
    assert abs(mean[0] - full[0]) > 0.01


@pytest.mark.slow
def test_global_and_local_variables_have_the_gradient_of_the_closed_form():
    """q(μ) by its draws and q(c_n) by the score function within, on batches of 2 of 6: the mixture's ELBO, unbiased."""
    logits = RNG.normal(size=(6, 2))
    params = {"global": MeanFieldParams(jnp.asarray(PARAMS.mean), jnp.full((2, 2), -0.6)), "local": jnp.asarray(logits)}

    def closed(p):
        factors = bayesian_mixture.Factors(
            p["global"].mean, jnp.exp(2 * p["global"].log_std[:, 0]), jax.nn.softmax(p["local"])
        )
        return bayesian_mixture.elbo(PRIOR_VARIANCE, jnp.asarray(X), factors)

    def log_likelihood(means, datum):
        x, key, of_local = datum

        def local(c):
            return -0.5 * jnp.sum((x - means[c]) ** 2) - jnp.log(2 * jnp.pi) - jnp.log(2)

        return score_function(key, local, categorical(), of_local)

    def estimate(p, key):
        outer, inner, batch_key = jax.random.split(key, 3)
        chosen = jax.random.choice(batch_key, 6, (2,), replace=False)
        batch = jnp.asarray(X)[chosen], jax.random.split(inner, 2), p["local"][chosen]
        joint = minibatch(partial(bayesian_mixture.log_prior, PRIOR_VARIANCE), log_likelihood, batch, 6)
        return reparameterised(outer, joint, mean_field_gaussian(), p["global"])

    keys = jax.random.split(jax.random.key(3), 40_000)
    values, found = jax.jit(jax.vmap(jax.value_and_grad(estimate), (None, 0)))(params, keys)
    value, wanted = jax.value_and_grad(closed)(params)
    # the closed form has one variance per component, the family one per coordinate: their gradients add up
    pairs = [
        (values, value), (found["global"].mean, wanted["global"].mean), (found["local"], wanted["local"]),
        (found["global"].log_std.sum(-1), wanted["global"].log_std.sum(-1)),
    ]  # fmt: skip
    for draws, mean in pairs:
        draws = np.asarray(draws)
        assert np.all(np.abs(draws.mean(0) - mean) < 4.5 * draws.std(0) / np.sqrt(len(draws)))


def test_ascent_on_a_known_bound_finds_its_maximum():
    """Gradient ascent with step h on −½a(p − c)²: the error falls by 1 − ha a step, and its square in the bound."""

    def bound(key, p):
        return -jnp.sum(jnp.array([1.0, 3.0]) * (p - jnp.array([2.0, -1.0])) ** 2) / 2

    found = maximise(jax.random.key(0), bound, jnp.zeros(2), optax.sgd(0.1), 20)
    wanted = jnp.array([2 - 2 * 0.9**20, -1 + 0.7**20])
    np.testing.assert_allclose(found.params, wanted, rtol=1e-12)
    steps = np.arange(20)
    np.testing.assert_allclose(found.followed, -0.5 * (4 * 0.81**steps + 3 * 0.49**steps), rtol=1e-10)
    followed = maximise(jax.random.key(0), bound, jnp.zeros(2), optax.sgd(0.1), 20, follow=lambda p: p[0]).followed
    np.testing.assert_allclose(followed, 2 - 2 * 0.9**steps, rtol=1e-12)


def test_every_step_of_an_ascent_has_a_key_of_its_own():
    found = maximise(
        jax.random.key(0), lambda key, p: p * 0 + jax.random.normal(key), jnp.zeros(()), optax.sgd(0.1), 50
    )
    assert len(np.unique(found.followed)) == 50
    walk = natural_ascent(
        jax.random.key(0), lambda key, p: jax.random.normal(key), jnp.zeros(()), lambda i: 1.0, 50
    ).followed
    assert len(np.unique(walk)) == 50


def test_robbins_monros_steps():
    rate = robbins_monro(delay=4.0, forgetting=0.8)
    i = np.arange(5)
    np.testing.assert_allclose(rate(i), (i + 5.0) ** -0.8, rtol=1e-12)  # t = i + 1 counts from 1
    assert robbins_monro(0.0, 1.0)(0) == 1
    # averages: with ρ = 1/t the ascent is the running mean of its targets
    draws = jnp.asarray(RNG.normal(size=30))
    keys = jnp.stack([jax.random.key_data(jax.random.fold_in(jax.random.key(0), i)) for i in range(30)])

    def target(key, _):
        return draws[jnp.argmax(jnp.all(keys == jax.random.key_data(key), -1))]

    found = natural_ascent(jax.random.key(0), target, jnp.asarray(99.0), robbins_monro(0.0, 1.0), 30)
    np.testing.assert_allclose(found.params, draws.mean(), rtol=1e-12)


MIXTURE_START = bayesian_mixture.Natural(np.array([0.8, 1.7]), np.array([[0.1, -0.5], [1.9, 0.7]]))


def mixture_start():
    return jax.tree.map(jnp.asarray, MIXTURE_START)


@pytest.mark.slow
def test_the_natural_gradient_is_the_gradient_over_the_fisher_information():
    """∇_λ ELBO = F(λ) (λ̂ − λ), F the Hessian of the log-normaliser, the assignments at their optimum."""
    x = jnp.asarray(X)

    def elbo(parameters):
        return bayesian_mixture.elbo(PRIOR_VARIANCE, x, bayesian_mixture.from_natural(x, parameters))

    def log_normaliser(parameters):
        """Of exp(hᵀμ − ½ p μᵀμ) for each component."""
        p, h = parameters
        return jnp.sum(0.5 * jnp.sum(h**2, -1) / p - 0.5 * h.shape[-1] * jnp.log(p))

    flat, back = jax.flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, MIXTURE_START))
    fisher = jax.hessian(lambda v: log_normaliser(back(v)))(flat)
    target = bayesian_mixture.natural_target(PRIOR_VARIANCE, x, len(X), mixture_start())
    step = jax.flatten_util.ravel_pytree(target)[0] - flat
    np.testing.assert_allclose(jax.grad(lambda v: elbo(back(v)))(flat), fisher @ step, rtol=1e-9)


@pytest.mark.parametrize("size", [1, 4])
def test_c2_3_natural_targets_of_batches_are_unbiased(size):
    full = bayesian_mixture.natural_target(PRIOR_VARIANCE, jnp.asarray(X), len(X), mixture_start())
    each = [
        bayesian_mixture.natural_target(PRIOR_VARIANCE, jnp.asarray(X[list(chosen)]), len(X), mixture_start())
        for chosen in itertools.combinations(range(len(X)), size)
    ]
    chex.assert_trees_all_close(jax.tree.map(lambda *leaves: np.mean(leaves, 0), *each), full, rtol=1e-12)


def test_a_whole_step_on_all_data_is_a_sweep_of_coordinate_ascent():
    x = jnp.asarray(X)
    found = natural_ascent(
        jax.random.key(0), lambda key, at: bayesian_mixture.natural_target(PRIOR_VARIANCE, x, len(X), at),
        mixture_start(), lambda i: 1.0, 1,
    )  # fmt: skip
    swept = bayesian_mixture.update_means(PRIOR_VARIANCE, x, bayesian_mixture.from_natural(x, mixture_start()))
    chex.assert_trees_all_close(found.params, bayesian_mixture.natural(swept), rtol=1e-12)
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[0], found.followed), MIXTURE_START)


@pytest.mark.slow
def test_stochastic_steps_end_near_coordinate_ascents_optimum():
    """In a tenth of the gap that the start has, whose ELBO is far below: batches of 20 of 400, Robbins–Monro steps."""
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(400, 1)) + 4 * rng.integers(0, 2, (400, 1)))
    start = bayesian_mixture.Natural(jnp.array([1.0, 1.0]), jnp.array([[0.5], [1.5]]))

    def target(key, at):
        return bayesian_mixture.natural_target(PRIOR_VARIANCE, jax.random.choice(key, x, (20,)), len(x), at)

    def swept(_, at):
        return bayesian_mixture.natural_target(PRIOR_VARIANCE, x, len(x), at)

    elbo = lambda at: bayesian_mixture.elbo(PRIOR_VARIANCE, x, bayesian_mixture.from_natural(x, at))
    found = natural_ascent(jax.random.key(0), target, start, robbins_monro(5.0, 0.7), 400).params
    best = natural_ascent(jax.random.key(0), swept, start, lambda i: 1.0, 100).params
    assert elbo(start) < elbo(best) - 50
    assert elbo(best) - 0.5 < elbo(found) < elbo(best) + 1e-9


# -- batches, compilation, types, refusals -------------------------------------------------------------------------


def natural_steps(seed, x, start):
    def target(key, at):
        return bayesian_mixture.natural_target(PRIOR_VARIANCE, jax.random.choice(key, x, (3,)), 6, at)

    return natural_ascent(jax.random.key(seed), target, start, robbins_monro(), 5)


@pytest.mark.slow
def test_float32_stays_so_and_seeds_are_vmapped():
    x, start = jax.tree.map(jnp.float32, (X, MIXTURE_START))
    together = jax.jit(jax.vmap(natural_steps, (0, None, None)))(jnp.arange(3), x, start)
    assert {leaf.dtype for leaf in jax.tree.leaves(together)} == {jnp.dtype(jnp.float32)}
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[1], together), natural_steps(1, x, start), rtol=1e-5)

    def bound(key, params):
        return bound_of(reparameterised, key, jax.random.choice(key, x, (3,), replace=False), params)

    with jax.enable_x64(False):
        start = jax.tree.map(jnp.float32, PARAMS)
        found = jax.eval_shape(lambda start: maximise(jax.random.key(0), bound, start, optax.adam(0.1), 5), start)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.float32)}


def test_refusals():
    prior, likelihood, key = (lambda z: z), (lambda z, x: z * x), jax.random.key(0)
    unequal = jnp.zeros(3), jnp.zeros(2)
    cases = [
        (lambda x=x: minibatch(prior, likelihood, x, 10), "leaves of one length")
        for x in (unequal, jnp.zeros(()), jnp.zeros((0, 2)))
    ]
    cases += [
        (lambda case=case: robbins_monro(*case), r"forgetting in \(.5, 1\]")
        for case in ((-1.0, 0.7), (1.0, 0.5), (1.0, 1.1))
    ]
    cases += [
        (lambda: minibatch(prior, likelihood, jnp.zeros(3), 2), "at least the 3 of the batch, got 2"),
        (lambda: maximise(key, lambda key, p: p, 0.0, optax.sgd(0.1), 0), "steps must be at least 1, got 0"),
        (lambda: natural_ascent(key, lambda key, p: p, 0.0, lambda i: 1.0, 0), "steps must be at least 1, got 0"),
    ]
    for refused, message in cases:
        with pytest.raises(ValueError, match=message):
            refused()

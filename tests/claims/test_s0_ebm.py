"""Claims of S0, the exam, on energy-based models."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.kit.call_counting import Counter
from jaxgen import diffusion, ebm, mcmc, samplers
from jaxgen.distributions import GaussianMixture, StandardNormal

N = 40_000
STATES = np.array([0.1, 0.4, 0.2, 0.3])  # the data's distribution over four states


def check_gradients(estimated, exact, errors):
    """Every entry lies within 5 standard errors; one that had the opposite sign of the model's mean would not."""
    for found, true, error in zip(*map(jax.tree.leaves, (estimated, exact, errors)), strict=True):
        assert (np.abs(found - true) < 5 * error + 1e-6).all()
        assert (np.abs(true) > 10 * error).any()


def each_gradient(energy, params, x, negatives):
    """The gradient of each example's loss: a mean and its error."""
    one = lambda params, x, negative: ebm.contrastive_losses(partial(energy, params), x[None], negative[None])[0][0]
    found = jax.vmap(jax.grad(one), (None, 0, 0))(params, x, negatives)
    return jax.tree.map(lambda g: g.mean(0), found), jax.tree.map(lambda g: g.std(0) / np.sqrt(N), found)


def test_c0_7_the_gradient_of_the_kl_divergence_on_a_discrete_family():
    """States k with energies θ_k: KL(data ‖ softmax(−θ)) by summation and automatic differentiation."""
    theta = jnp.array([0.3, -0.5, 1.0, 0.0])
    energy = lambda theta, x: theta[x[:, 0].astype(int)]
    exact = jax.grad(lambda theta: jnp.sum(STATES * (np.log(STATES) - jax.nn.log_softmax(-theta))))(theta)
    data_key, model_key = jax.random.split(jax.random.key(0))
    x = jax.random.choice(data_key, 4, (N, 1), p=jnp.asarray(STATES)).astype(float)
    negatives = jax.random.categorical(model_key, -theta, shape=(N, 1)).astype(float)
    found, errors = each_gradient(energy, theta, x, negatives)
    check_gradients(found, exact, errors)


def test_c0_7_the_gradient_of_the_kl_divergence_on_a_gaussian_family():
    """E = ½(x − μ)ᵀ Λ (x − μ), Λ = AAᵀ: the KL in closed form; and the same by a chain that starts elsewhere."""
    params = {"mean": jnp.array([0.5, -0.3]), "root": jnp.array([[1.2, 0.0], [0.4, 0.8]])}
    data_mean, data_cov = np.array([1.0, 0.2]), np.array([[0.6, 0.2], [0.2, 0.9]])

    def energy(params, x):
        return 0.5 * jnp.sum(((x - params["mean"]) @ params["root"]) ** 2, -1)

    def kl(params):
        precision, offset = params["root"] @ params["root"].T, data_mean - params["mean"]
        quadratic = jnp.trace(precision @ data_cov) + offset @ precision @ offset
        return 0.5 * (quadratic - 2 - jnp.linalg.slogdet(precision)[1] - np.linalg.slogdet(data_cov)[1])

    keys = jax.random.split(jax.random.key(0), 3)
    x = data_mean + jax.random.normal(keys[0], (N, 2)) @ np.linalg.cholesky(data_cov).T
    chain = mcmc.mala(lambda x: -energy(params, x), 0.8)
    start = chain.init(2 * jax.random.normal(keys[1], (N, 2)))
    negatives = mcmc.advance(jax.random.split(keys[2], N), chain, start, 40).x
    found, errors = each_gradient(energy, params, x, negatives)
    check_gradients(found, jax.grad(kl)(params), errors)


MIXTURE = GaussianMixture(np.array([0.3, 0.7]), np.array([[-1.0], [1.0]]), np.array([[[0.15**2]]] * 2))


def in_the_hole(x):
    """The share of samples between the modes, where the mixture has less than a millionth of its mass."""
    return np.mean(np.abs(x) < 0.25)


def weight_error(x):
    """The share of the right mode less that of the mixture."""
    return np.mean(np.asarray(x) > 0) - 0.7


def test_c0_2_sampling_an_energy_takes_many_calls_and_a_map_takes_one():
    """Two modes: a chain in the exact energy has wrong weights after 100 calls, and a flow is right after one."""
    keys, n = jax.random.split(jax.random.key(0), 2000), 2000
    exact = lambda x: -MIXTURE.perturbed(1.0, 0.4).log_density(x)  # wide enough that chains cross
    start, errors, calls = 2 * jax.random.normal(jax.random.key(1), (n, 1)), {}, {}
    for steps in (1, 10, 100, 1000):
        counter = Counter()
        chain = ebm.langevin_chain(0.1)(counter.around(exact) if steps <= 100 else exact)
        x = jax.block_until_ready(mcmc.advance(keys, chain, start, steps))
        errors[steps], calls[steps] = abs(weight_error(x)), counter.calls
    assert [calls[steps] for steps in (1, 10, 100)] == [1, 10, 100]
    chance = 4 * np.sqrt(0.3 * 0.7 / n)
    assert min(errors[steps] for steps in (1, 10, 100)) > chance
    assert errors[1000] < chance
    # one call of the inverse of the distribution function, which is a flow
    grid, wide = np.linspace(-3, 3, 4001), np.hypot(0.15, 0.4)
    law = jax.scipy.stats.norm.cdf(grid[:, None], np.array([-1, 1]), wide) @ np.array([0.3, 0.7])
    flow = np.interp(np.asarray(jax.random.uniform(jax.random.key(2), (n,))), law, grid)
    assert abs(weight_error(flow)) < chance


@pytest.mark.parametrize("levels", [4, pytest.param(2, marks=pytest.mark.slow)])
def test_c0_8d_conditional_energies_make_few_steps_multimodal(levels):
    """With exact denoisers Gaussian kernels of a few steps fill the hole; with exact energies it stays empty."""
    betas = np.array({4: [0.3, 0.5, 0.7, 0.95], 2: [0.6, 0.95]}[levels])
    process, keys = diffusion.from_betas(betas), jax.random.split(jax.random.key(0), 2000)
    times = diffusion.uniform_grid(levels)
    at = lambda t: MIXTURE.perturbed(process.alpha(t), process.sigma(t))

    denoise = diffusion.denoiser(process, lambda x, t, cond: at(t[0]).score(x), predicts="score")
    gaussian = jax.jit(lambda keys: samplers.sample(keys, process, denoise, samplers.ddpm(), times, (1,)))(keys)

    alphas, variances = np.sqrt(1 - betas), betas
    before = np.asarray(process.sigma(np.arange(levels) / levels)) ** 2
    width = alphas**2 * (before + np.asarray(process.alpha(np.arange(levels) / levels)) ** 2 * 0.15**2)
    ladder = ebm.recovery_ladder(process, 0.7 * width * variances / (width + variances))

    def energy(y, s):
        # y = α_{t|s} x_s; all have one time
        alpha = jnp.asarray(alphas, jnp.float32)[jnp.round(s[0] * levels).astype(int)]
        return -MIXTURE.perturbed(alpha * process.alpha(s[0]), alpha * process.sigma(s[0])).log_density(y)

    sampler = ebm.recovery_sampler(60, adjusted=True)
    tilted = jax.jit(lambda keys: samplers.sample(keys, ladder, energy, sampler, times, (1,)))(keys)
    assert in_the_hole(gaussian) > 0.02
    assert in_the_hole(tilted) < in_the_hole(gaussian) / 4
    assert abs(weight_error(tilted)) < 0.03 + 4 * np.sqrt(0.21 / 2000)


def test_c0_8d_an_energy_based_prior_closes_the_hole_of_a_latent_space():
    """The aggregate posterior q leaves out the middle, where the prior p has its mass; r = q/p tilts the prior to q."""
    aggregate = GaussianMixture(np.array([0.5, 0.5]), np.array([[-1.0], [1.0]]), np.array([[[0.1]]] * 2))
    base, shape = StandardNormal(), (4000, 1)
    energy = lambda z: base.log_density(z) - aggregate.log_density(z)  # −log r
    middle = lambda z: np.mean(np.abs(np.asarray(z)) < 0.2)
    draws = {
        "base": base.sample(jax.random.key(0), shape),
        "aggregate": aggregate.sample(jax.random.key(1), 4000),
        "resampled": ebm.resampled_prior(energy, base, 64).sample(jax.random.key(2), shape),
        "langevin": ebm.langevin_prior(energy, base, ebm.langevin_chain(0.02), 200).sample(
            jax.random.key(3), (4000, 1)
        ),
    }
    assert middle(draws["base"]) > 0.14
    for name in ("aggregate", "resampled", "langevin"):
        assert middle(draws[name]) < 0.05, name
        np.testing.assert_allclose(np.var(draws[name]), 1.1, rtol=0.1)

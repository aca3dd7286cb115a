"""Claims of S3, the seminar on diffusion models, on the bound of DDPM and what improves it."""

import math
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from affine_law import law
from oracles import gaussian_denoiser, nightly
from scipy.stats import norm

from jaxgen.core import noise
from jaxgen.diffusion import (
    Prediction,
    bound_term,
    cosine_betas,
    denoiser,
    final_kernel,
    from_betas,
    importance,
    initial_std,
    linear_betas,
    marginal,
    perturb,
    posterior,
    reverse_kernel,
    subset_grid,
    transition,
    variational_bound,
    vlb_loss,
)
from jaxgen.distributions import gaussian_kl, likelihoods
from jaxgen.samplers import ddpm

T = 6
BETAS = linear_betas(T, 0.05, 0.6)
CHAIN = from_betas(BETAS)
ALPHA_BAR = np.cumprod(1 - BETAS)
X0, MEAN, STD = 0.4, 0.1, 0.6


def affine(x, t, cond=None):
    """A denoiser that is wrong but affine, so that the model's density of x0 is a Gaussian."""
    x0 = 0.1 + 0.6 * x
    t = jnp.broadcast_to(t, x.shape[:1])[:, None]
    return Prediction(x0, (x - CHAIN.alpha(t) * x0) / CHAIN.sigma(t))


def log_density(x, gaussian):
    return norm.logpdf(np.float64(x), *np.broadcast_arrays(*map(np.float64, gaussian)))[:, 0]


def kernel_at(i, x, variance):
    """p_θ(x_{i−1}|x_i), i = 1 … T."""
    t = i / T
    if i == 1:
        return final_kernel(CHAIN, affine(x, t), t, 2 / T, variance)
    return reverse_kernel(CHAIN, affine(x, t), x, (i - 1) / T, t, variance)


def model_log_density(variance):
    """log p_θ(X0): N(0, 1) pushed through T affine Gaussian steps, whose slope is read off at 0 and 1."""
    mean, spread = 0.0, 1.0
    for i in reversed(range(1, T + 1)):
        at_0, at_1 = (kernel_at(i, jnp.full((1, 1), x), variance) for x in (0.0, 1.0))
        shift = float(at_0.mean[0, 0])
        slope = float(at_1.mean[0, 0]) - shift
        mean, spread = slope * mean + shift, slope**2 * spread + float(at_0.std.squeeze()) ** 2
    return norm.logpdf(X0, mean, np.sqrt(spread))


def walks(n):
    """n paths x_0 … x_T of the chain from X0, each (n, 1)."""
    path = [jnp.full((n, 1), X0)]
    for i, key in enumerate(jax.random.split(jax.random.key(0), T)):
        scale, variance = transition(CHAIN, i / T, (i + 1) / T)
        path.append(scale * path[-1] + jnp.sqrt(variance) * jax.random.normal(key, (n, 1)))
    return path


def log_weights(path, variance):
    """log p_θ(x_{0:T})/q(x_{1:T}|x0), as it is written in (3-7)."""
    log_w = log_density(path[-1], (0.0, 1.0))
    for i in range(1, T + 1):
        scale, spread = transition(CHAIN, (i - 1) / T, i / T)
        log_w += log_density(path[i - 1], kernel_at(i, path[i], variance))
        log_w -= log_density(path[i], (scale * path[i - 1], jnp.sqrt(spread)))
    return log_w


def estimated(variance, n, denoise=affine, process=CHAIN):
    run = jax.jit(
        lambda keys, x0: variational_bound(
            keys, process, denoise, x0, variance=variance, likelihood=likelihoods.gaussian()
        )
    )
    return run(jax.random.split(jax.random.key(1), n), jnp.full((n, 1), X0))


@nightly("variance", ["fixed_small", "fixed_large"])
def test_c3_7_importance_identity_and_bound(variance):
    """p_θ(x0) = E_q[p_θ(x_{0:T})/q(x_{1:T}|x0)] (3-7), so −log p_θ(x0) ≤ E_q[−log of it] (3-9) = L."""
    n, exact = 400_000, model_log_density(variance)
    log_w = log_weights(walks(n), variance)
    weights = np.exp(log_w - exact)
    error = weights.std() / np.sqrt(n)
    assert error < 0.02
    assert abs(weights.mean() - 1) < 4 * error
    total = np.float64(estimated(variance, 100_000).total)
    error = np.hypot(log_w.std() / np.sqrt(n), total.std() / np.sqrt(len(total)))
    assert abs(total.mean() + log_w.mean()) < 4 * error
    assert total.mean() > -exact + 10 * error


def test_c3_7_the_bound_is_an_equality_for_the_true_reverse_chain():
    """Data N(0, 1): with β for variance p_θ(x_{0:T}) is q(x_{0:T}), and the weight of every path is x0's density."""

    def denoise(x, t, cond=None):
        t = jnp.broadcast_to(t, x.shape[:1])[:, None]
        return Prediction(CHAIN.alpha(t) * x, CHAIN.sigma(t) * x)

    total = np.float64(estimated("fixed_large", 40_000, denoise).total)
    assert abs(total.mean() + norm.logpdf(X0)) < 4 * total.std() / np.sqrt(len(total))


@nightly("variance", ["fixed_small", "fixed_large"])
def test_c3_7_decomposition(variance):
    """(3-10)–(3-13): along every path the log-weight is −log q(x_T|x0)/p(x_T) − Σ log q/p + log p_θ(x0|x_1)."""
    path = walks(500)
    x0 = path[0]
    terms = [log_density(path[-1], (0.0, 1.0)) - log_density(path[-1], marginal(CHAIN, x0, 1.0))]
    for i in range(2, T + 1):
        of_model = log_density(path[i - 1], kernel_at(i, path[i], variance))
        terms.append(of_model - log_density(path[i - 1], posterior(CHAIN, path[i], x0, (i - 1) / T, i / T)))
    terms.append(log_density(x0, kernel_at(1, path[1], variance)))
    np.testing.assert_allclose(np.sum(terms, 0), log_weights(path, variance), atol=1e-3)
    # and the expectation of each part given x_t is a term of the bound
    n = 100_000
    path, bound = walks(n), estimated(variance, n)
    for i in range(2, T + 1):
        kl = gaussian_kl(posterior(CHAIN, path[i], path[0], (i - 1) / T, i / T), kernel_at(i, path[i], variance))
        found = bound.transitions[:, T - i]
        assert abs(kl.mean() - found.mean()) < 4 * np.hypot(kl.std(), found.std()) / np.sqrt(n)
    reconstruction = -log_density(path[0], kernel_at(1, path[1], variance))
    error = np.hypot(reconstruction.std(), bound.reconstruction.std()) / np.sqrt(n)
    assert abs(reconstruction.mean() - bound.reconstruction.mean()) < 4 * error
    prior = 0.5 * (ALPHA_BAR[-1] * X0**2 + (1 - ALPHA_BAR[-1]) - 1 - np.log(1 - ALPHA_BAR[-1]))
    np.testing.assert_allclose(bound.prior, prior, rtol=1e-3)


@pytest.mark.slow
def test_c3_7_the_transition_terms_are_distances_of_means():
    """(3-14): L_{t−1} = ‖μ̃ − μ_θ‖²/(2σ_t²) + C, C free of the network and 0 where σ_t² = β̃."""
    x0, x_t = jax.random.normal(jax.random.key(0), (2, 5, 3))
    networks = [denoiser(CHAIN, lambda x, t, cond, scale=scale: jnp.tanh(scale * x)) for scale in (0.3, 1.0)]
    jitted = jax.jit(bound_term, static_argnames="variance")
    for i in (2, 4, T):
        s, t = (i - 1) / T, i / T
        mean, std = posterior(CHAIN, x_t, x0, s, t)
        beta, tilde = BETAS[i - 1], float(std) ** 2
        for variance, sigma in (("fixed_small", tilde), ("fixed_large", beta)):
            rest = []
            for denoise in networks:
                prediction = denoise(x_t, t)
                model = reverse_kernel(CHAIN, prediction, x_t, s, t, variance).mean
                term = jitted(CHAIN, prediction, x_t, x0, s, t, variance=variance)
                rest.append(term - jnp.sum((mean - model) ** 2, -1) / (2 * sigma))
            constant = 1.5 * (np.log(sigma / tilde) + tilde / sigma - 1)
            np.testing.assert_allclose(rest, np.full((2, 5), constant), atol=2e-4)


def test_c1_6_c3_7_mean_and_step():
    """(3-15) μ_θ = (x_t − β_t/√(1−ᾱ_t) ε_θ)/√α_t = μ̃(x_t, x̂0(ε_θ)) and (3-16) x_{t−1} = μ_θ + σ_t z."""
    x_t, eps = jax.random.normal(jax.random.key(0), (2, 5, 3))
    keys, denoise = jax.random.split(jax.random.key(1), 5), denoiser(CHAIN, lambda x, t, cond: eps)
    z = noise(keys, (3,))
    for i in (2, 4, T):
        s, t = (i - 1) / T, i / T
        beta = BETAS[i - 1]
        mean = (x_t - beta / np.sqrt(1 - ALPHA_BAR[i - 1]) * eps) / np.sqrt(1 - beta)
        prediction = denoise(x_t, t)
        np.testing.assert_allclose(posterior(CHAIN, x_t, prediction.x0, s, t).mean, mean, rtol=1e-4, atol=1e-5)
        tilde = beta * (1 - ALPHA_BAR[i - 2]) / (1 - ALPHA_BAR[i - 1])
        for variance, sigma in (("fixed_small", np.sqrt(tilde)), ("fixed_large", np.sqrt(beta))):
            model = reverse_kernel(CHAIN, prediction, x_t, s, t, variance).mean
            np.testing.assert_allclose(model, mean, rtol=1e-4, atol=1e-5)
            x, _ = ddpm(variance).step(keys, CHAIN, denoise, jnp.float32(t), jnp.float32(s), x_t, None)
            np.testing.assert_allclose(x, mean + sigma * z, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_c3_7_importance_over_time():
    """E_t[L_t] = E_{p_t}[L_t/(T p_t)] for any p_t, and p_t ∝ √E[L_t²] has the least variance: of the true bound."""
    n, chain = 200_000, from_betas(linear_betas(20, 0.005, 0.4))

    def exact(x, t, cond):
        alpha, sigma = chain.alpha(t)[:, None], chain.sigma(t)[:, None]
        return sigma * (x - alpha * MEAN) / (alpha**2 * STD**2 + sigma**2)

    @jax.jit
    def losses(key, t):
        data_key, key = jax.random.split(key)
        x0 = MEAN + STD * jax.random.normal(data_key, (n, 1))
        return vlb_loss(
            key, chain, exact, x0, variance="fixed_large", likelihood=likelihoods.gaussian(), times=lambda key, n: t
        )

    def draw(history):
        t, weights = importance.draw(jax.random.key(3), history, n)
        return t, weights * losses(jax.random.key(4), t)

    history = importance.loss_history(20, window=1000)
    t, uniform = draw(history)
    history = importance.record(history, t, uniform)
    _, weighted = draw(history)
    uniform, weighted = np.float64(uniform), np.float64(weighted)
    error = np.hypot(uniform.std(), weighted.std()) / np.sqrt(n)
    assert abs(uniform.mean() - weighted.mean()) < 4 * error
    assert weighted.std() < 0.5 * uniform.std()


# -- C3.9 ----------------------------------------------------------------------------------------------------------


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(3)
VARIANCES = ("fixed_small", "fixed_large", "learned")


@jax.jit
def expected_term(process, std, s, t, first, second):
    """A term's expectation for each variance, of the exact denoiser of N(MEAN, std²), by exact quadrature.

    The learned fraction is the one at which the variance is that of q(x_s|x_t): the best there is.
    """
    x0, eps = (jnp.asarray(axis.reshape(-1, 1)) for axis in np.meshgrid(NODES, NODES))
    x0, x_t = MEAN + std * x0, perturb(process, MEAN + std * x0, t, eps)
    alpha, sigma = process.alpha(t), process.sigma(t)
    whitened = (x_t - alpha * MEAN) / (alpha**2 * std**2 + sigma**2)
    coef_x0 = std**2 * sigma**2 / (alpha**2 * std**2 + sigma**2)
    # the posterior's variance, and β; of the last step those of `final_kernel`
    tilde = posterior(process, x0, x0, jnp.where(s > 0, s, first), jnp.where(s > 0, t, second)).std ** 2
    scale, beta = transition(process, s, t)
    before = process.alpha(s) ** 2 * std**2 + process.variance(s)
    true = jnp.where(s > 0, before * beta / (scale**2 * before + beta), coef_x0)
    fraction = jnp.log(true / tilde) / jnp.log(beta / tilde)
    prediction = Prediction(MEAN + alpha * std**2 * whitened, sigma * whitened, jnp.full_like(x_t, fraction))
    options = {"cleanest": (first, second), "likelihood": likelihoods.gaussian()}
    terms = [bound_term(process, prediction, x_t, x0, s, t, variance=variance, **options) for variance in VARIANCES]
    return jnp.stack(terms) @ np.outer(WEIGHTS, WEIGHTS).ravel() / (2 * np.pi)


def expected_bound(steps, std, grid=None):
    """E[L] of a chain of T steps, or of a subset of them, for each variance."""
    process = from_betas(linear_betas(steps, 0.1 / steps, 20 / steps))
    grid = subset_grid(steps, steps) if grid is None else grid
    terms = [expected_term(process, std, s, t, grid[-2], grid[-3]) for t, s in pairwise(grid)]
    alpha_bar = float(process.alpha(grid[0])) ** 2
    prior = 0.5 * (alpha_bar * (MEAN**2 + std**2 - 1) - math.log1p(-alpha_bar))
    return prior + np.sum(terms, 0)


@nightly("std", [0.2, 0.6])
def test_c3_9_more_steps_and_a_learned_variance_lower_the_bound(std):
    """For a fixed exact denoiser: every larger T lowers both fixed-variance bounds, and learning beats both."""
    entropy = 0.5 * math.log(2 * math.pi * math.e * std**2)
    with jax.enable_x64(True):
        found = np.array([expected_bound(steps, std) for steps in (25, 100, 400)])
    small, large, learned = found.T
    assert np.all(np.diff(small) < 0)
    assert np.all(np.diff(large) < 0)
    assert np.all(learned < np.minimum(small, large) - 1e-5)
    # all that is left of the learned one is the prior's mismatch, less than half of alpha² ≈ e^−10 by its size
    assert np.all((learned > entropy - 1e-6) & (learned < entropy + 1e-4))


def test_c3_9_more_of_the_same_steps_lower_the_bound():
    """On nested subsets of one chain of 400 steps, as strided sampling takes them."""
    with jax.enable_x64(True):
        found = np.array([expected_bound(400, 0.6, subset_grid(400, n, "linspace")) for n in (8, 22, 400)])
    assert np.all(np.diff(found[:, :2], axis=0) < 0)
    assert np.all(found[:, 2] < found[:, :2].min(1))


@pytest.mark.slow
def test_c3_9_skipping_a_fifth_is_harmless_for_linear_and_not_for_cosine():
    """Begun late from pure noise, the chain of an exact denoiser misses what is left of the signal there.

    Along a direction of the data N(m, s²) it ends at mean m (1 − k), k = ᾱ s²/(ᾱ s² + sigma²). Images vary most in few
    directions, by many times a pixel's variance: there s² is large.
    """
    mean, std, steps = 2.0, 4.0, 400
    chains = {
        "linear": from_betas(linear_betas(steps, 0.1 / steps, 20 / steps)),
        "cosine": from_betas(cosine_betas(steps)),
    }
    lost = {}
    for name, process in chains.items():
        grid, denoise = subset_grid(steps, steps), gaussian_denoiser(process, mean, std)
        run = jax.jit(
            lambda grid, process=process, denoise=denoise: law(
                ddpm("fixed_large"), process, denoise, grid, 0.0, initial_std(process, grid[0]) ** 2
            )
        )
        for share in (0.0, 0.2):
            rest = jnp.asarray(grid[grid <= 1 - share + 1e-9])
            found_mean, found_variance = map(float, run(rest))
            signal, noise = float(process.alpha(rest[0])) ** 2 * std**2, float(process.variance(rest[0]))
            np.testing.assert_allclose(1 - found_mean / mean, signal / (signal + noise), rtol=0.02, atol=1e-3)
            # Fréchet distance from the data's own law, in units of their std
            lost[name, share] = math.hypot(found_mean - mean, math.sqrt(found_variance) - std) / std
    assert lost["linear", 0.2] < 0.05
    assert lost["cosine", 0.2] > 0.3
    assert lost["cosine", 0.0] < 0.05

"""Claims of S1 on the variational bound of DDPM."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import nightly
from scipy.special import logsumexp
from scipy.stats import norm

from jaxgen.diffusion import denoiser, from_betas, linear_betas, variational_bound
from jaxgen.distributions import likelihoods

T = 12
BETAS = linear_betas(T, 0.01, 0.4)
CHAIN = from_betas(BETAS)
X0 = 0.4
PARAMETERS = {"scale": jnp.array(0.7), "shift": jnp.array(0.2), "variance": jnp.array(0.5)}


def eps_and_v(parameters, x, t, module):
    """A small network's noise and variance parameter, in numpy or jax.numpy."""
    eps = module.tanh(parameters["scale"] * x + parameters["shift"] * t)
    return eps, module.tanh(parameters["variance"] * x)


def network(parameters, variance):
    def apply(x, t, cond):
        eps, v = eps_and_v(parameters, x, t[:, None], jnp)
        return jnp.concatenate([eps, v], -1) if variance == "learned" else eps

    return apply


def log_bin(x0, mean, std):
    """log of a Gaussian's mass within 1/255 of x0, from its lower tail."""
    far = -np.abs(x0 - mean)
    high, low = norm.logcdf((far + 1 / 255) / std), norm.logcdf((far - 1 / 255) / std)
    return high + np.log(-np.expm1(low - high))


def simulated(variance, n, seed=0):
    """−log p_θ(x_{0:T})/q(x_{1:T}|x0) of n walks of the chain from X0, by the formulas of the paper in float64."""
    rng, parameters = np.random.default_rng(seed), {name: float(value) for name, value in PARAMETERS.items()}
    alpha_bar = np.cumprod(1 - BETAS)
    before = np.append(1, alpha_bar[:-1])
    small = BETAS * (1 - before) / (1 - alpha_bar)
    small[0] = small[1]  # of the step to x0, see `reverse.final_kernel`
    log_p, log_q, path = 0.0, 0.0, [np.full(n, X0)]
    for beta in BETAS:
        mean = np.sqrt(1 - beta) * path[-1]
        path.append(mean + np.sqrt(beta) * rng.normal(size=n))
        log_q += norm.logpdf(path[-1], mean, np.sqrt(beta))
    log_p += norm.logpdf(path[-1])
    for i in reversed(range(T)):
        eps, v = eps_and_v(parameters, path[i + 1], (i + 1) / T, np)
        mean = (path[i + 1] - BETAS[i] / np.sqrt(1 - alpha_bar[i]) * eps) / np.sqrt(1 - BETAS[i])
        fraction = {"fixed_small": 0.0, "fixed_large": 1.0, "learned": (v + 1) / 2}[variance]
        std = np.exp(0.5 * (fraction * np.log(BETAS[i]) + (1 - fraction) * np.log(small[i])))
        log_p += norm.logpdf(path[i], mean, std) if i > 0 else log_bin(X0, mean, std)
    return log_q - log_p


@nightly("variance", ["fixed_small", "fixed_large", "learned"])
def test_c1_3_the_terms_add_up_to_the_variational_bound(variance):
    """L_0 + Σ L_{t−1} + L_T = E_q[−log p(x_{0:T})/q(x_{1:T}|x0)] ≥ −log p(x0), of a network that is far from exact."""
    n = 200_000
    denoise = denoiser(CHAIN, network(PARAMETERS, variance), learned_variance=variance == "learned")
    # X0 is a level of data on [−1, 1] only by luck: these levels have it in the middle of a bin of width 2/255
    levels = likelihoods.discretised_gaussian(2001, X0 - 1000 * 2 / 255, X0 + 1000 * 2 / 255)
    bound = jax.jit(lambda keys, x0: variational_bound(keys, CHAIN, denoise, x0, variance=variance, likelihood=levels))(
        jax.random.split(jax.random.key(0), n), jnp.full((n, 1), X0)
    )
    total, direct = np.float64(bound.total), simulated(variance, n)
    error = np.hypot(total.std(), direct.std()) / np.sqrt(n)
    assert error < 0.005 * abs(direct.mean())
    assert abs(total.mean() - direct.mean()) < 4 * error
    # by importance weights, −log p(x0) itself
    assert logsumexp(-direct) - np.log(n) > -direct.mean()


@pytest.mark.slow
def test_c1_3_the_prior_term_has_no_gradient():
    """L_T does not know the network; the other terms do."""
    x0 = jnp.linspace(-1, 1, 8).reshape(4, 2)

    def terms(parameters):
        denoise = denoiser(CHAIN, network(parameters, "learned"), learned_variance=True)
        bound = variational_bound(jax.random.split(jax.random.key(0), 4), CHAIN, denoise, x0, variance="learned")
        return jnp.stack([bound.prior.sum(), bound.transitions.sum(), bound.reconstruction.sum()])

    values, gradients = jax.jit(lambda parameters: (terms(parameters), jax.jacrev(terms)(parameters)))(PARAMETERS)
    assert values[0] > 0
    for gradient in gradients.values():
        assert gradient[0] == 0
        assert np.all(np.abs(gradient[1:]) > 1e-3)

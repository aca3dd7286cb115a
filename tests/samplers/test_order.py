"""The order of convergence of every sampler, by halving steps, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from affine_law import law
from oracles import CONTINUOUS, Mixture, gaussian_denoiser, siblings_slow

from jaxgen.samplers import (
    ddim,
    ddpm,
    dpmpp_1,
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_2s,
    euler,
    euler_maruyama,
    heun,
    langevin,
    predictor_corrector,
    reverse_diffusion,
    sample,
)

MEAN, STD = 0.4, 0.5
# noise levels from well above the data's to well below, where no function of t is singular
SPAN = dict.fromkeys(CONTINUOUS, (0.9, 0.1)) | {"ve": (0.9, 0.4), "edm": (0.05, 0.002)}
ODE = {
    "ddim": (1, ddim()),
    "euler": (1, euler()),
    "euler_maruyama_0": (1, euler_maruyama(0.0)),
    "dpmpp_1": (1, dpmpp_1()),
    "heun": (2, heun()),
    "dpmpp_2m": (2, dpmpp_2m()),
    "dpmpp_2s": (2, dpmpp_2s()),
}
# from the number of steps, for noise that is spread over them
SDE = {
    "euler_maruyama": (1, lambda n: euler_maruyama()),
    "euler_maruyama_half": (1, lambda n: euler_maruyama(0.5)),
    "euler_maruyama_double": (1, lambda n: euler_maruyama(2.0)),
    "reverse_diffusion": (1, lambda n: reverse_diffusion()),
    "ddpm_small": (1, lambda n: ddpm("fixed_small")),
    "ddpm_large": (1, lambda n: ddpm("fixed_large")),
    "ddim_half": (1, lambda n: ddim(0.5)),
    "predictor_corrector": (1, lambda n: predictor_corrector(reverse_diffusion(), langevin(0.5 / n))),
    "heun_churn": (2, lambda n: heun(churn=8.0 / n)),
    "dpmpp_2m_sde": (2, lambda n: dpmpp_2m_sde()),
}


def orders(errors):
    return np.log2(np.array(errors[:-1]) / errors[1:])


def check(found, order):
    """Towards the order as steps shrink; a method may do better on one problem, first-order ones never do here."""
    assert found[-1] > order - 0.1, found
    assert found[-1] < order + (0.1 if order == 1 else 0.6), found


@pytest.mark.parametrize("process_name", siblings_slow(CONTINUOUS))
@pytest.mark.parametrize("name", ODE)
def test_order_along_the_probability_flow_of_a_mixture(name, process_name):
    """Against the exact flow of a bimodal density, which in one dimension keeps quantiles."""
    with jax.enable_x64(True):
        (order, sampler), process, mixture = ODE[name], CONTINUOUS[process_name], Mixture()
        t, s = SPAN[process_name]
        spread = jnp.sqrt(process.alpha(t) ** 2 * 0.75 + process.variance(t))
        start = (jnp.linspace(-1.3, 1.3, 6, dtype=jnp.float64) * spread)[:, None]
        keys = jax.random.split(jax.random.key(0), 6)
        exact = mixture.flow(process, start, jnp.float64(t), jnp.float64(s))
        # the flow bends: its end is not proportional to its start
        assert np.ptp(exact / start) > 0.05 * np.abs(exact / start).max()
        errors = []
        for n in (400, 800):
            times = np.linspace(t, s, n + 1)
            x = sample(keys, process, mixture.denoiser(process), sampler, times, (1,), start=start)
            errors.append(float(jnp.abs(x - exact).max()))
        print(f"order {name} {process_name} {orders(errors)[-1]:.2f}")  # pytest -rP shows the table
        check(orders(errors), order)


@pytest.mark.parametrize("process_name", siblings_slow(CONTINUOUS))
@pytest.mark.parametrize("name", SDE)
def test_weak_order_on_gaussian_data(name, process_name):
    """The variance and mean of the exact law of the chain, against those of q_s."""
    with jax.enable_x64(True):
        (order, make), process = SDE[name], CONTINUOUS[process_name]
        t, s = SPAN[process_name]
        marginal = lambda t: (process.alpha(t) * MEAN, process.alpha(t) ** 2 * STD**2 + process.variance(t))
        denoise = gaussian_denoiser(process, MEAN, STD)
        (_, first), (mean, variance) = marginal(jnp.float64(t)), marginal(jnp.float64(s))
        errors, mean_errors = [], []
        for n in (200, 400):
            start = float(marginal(jnp.float64(t))[0])
            found = law(make(n), process, denoise, np.linspace(t, s, n + 1), start, float(first))
            errors.append(float(abs(found[1] - variance)))
            mean_errors.append(float(abs(found[0] - mean)))
        print(f"weak order {name} {process_name} {orders(errors)[-1]:.2f}")
        check(orders(errors), order)
        assert mean_errors[-1] < max(0.55 * mean_errors[-2], 1e-9)


@pytest.mark.parametrize("name", ["heun", "dpmpp_2m", "dpmpp_2s"])
@pytest.mark.parametrize("process_name", ["cosine", "rectified_flow"])
def test_second_order_survives_a_start_without_signal(name, process_name):
    """From alpha = 0, where log(alpha/sigma) = −∞ and the first step is of first order."""
    with jax.enable_x64(True):
        process, sampler = CONTINUOUS[process_name], ODE[name][1]
        start = jnp.linspace(-2, 2, 5, dtype=jnp.float64)[:, None]
        keys = jax.random.split(jax.random.key(0), 5)
        std = lambda t: jnp.sqrt(process.alpha(t) ** 2 * STD**2 + process.variance(t))
        s = jnp.float64(0.1)
        exact = process.alpha(s) * MEAN + start * std(s) / std(jnp.float64(1.0))
        errors = []
        for n in (100, 200, 400):
            times = np.linspace(1.0, 0.1, n + 1)
            x = sample(keys, process, gaussian_denoiser(process, MEAN, STD), sampler, times, (1,), start=start)
            errors.append(float(jnp.abs(x - exact).max()))
        check(orders(errors), 2)


def test_churn_must_be_spread_over_the_steps():
    """A churn that does not shrink with the steps renews the noise ever more often: the error does not vanish."""
    with jax.enable_x64(True):
        process = CONTINUOUS["vp"]
        denoise = gaussian_denoiser(process, MEAN, STD)
        t, s = jnp.float64(0.9), jnp.float64(0.1)
        variance = lambda t: float(process.alpha(t) ** 2 * STD**2 + process.variance(t))
        errors = [
            float(abs(law(heun(churn=0.4), process, denoise, np.linspace(t, s, n + 1), 0.0, variance(t))[1]))
            - variance(s)
            for n in (100, 200, 400)
        ]
        assert np.all(np.abs(orders(np.abs(errors))) < 0.5)

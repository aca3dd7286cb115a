"""The order of convergence of every sampler, by halving steps, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from affine_law import law
from every_sampler import ANY, CONTINUOUS_ONLY, one_process_by_day
from oracles import CONTINUOUS, Mixture, gaussian_denoiser, nightly

from jaxgen.samplers import euler_maruyama, heun, langevin, predictor_corrector, reverse_diffusion

MEAN, STD = 0.4, 0.5
KINDS = ["vp", "ve", "rectified_flow"]
# noise levels from well above the data's to well below, where no function of t is singular
SPAN = dict.fromkeys(CONTINUOUS, (0.9, 0.1)) | {"ve": (0.9, 0.4), "edm": (0.05, 0.002)}
ODE = {"ddim": 1, "euler": 1, "euler_maruyama_0": 1, "dpmpp_1": 1, "heun": 2, "dpmpp_2m": 2, "dpmpp_2s": 2}
SDE = {
    "euler_maruyama": 1, "euler_maruyama_half": 1, "euler_maruyama_double": 1, "reverse_diffusion": 1,
    "ddpm_small": 1, "ddpm_large": 1, "ddim_half": 1, "predictor_corrector": 1, "heun_churn": 2, "dpmpp_2m_sde": 2,
}  # fmt: skip
NAMED = ANY | CONTINUOUS_ONLY | {"euler_maruyama_0": euler_maruyama(0.0)}
# from the number of steps, for noise that is spread over them
SPREAD = {
    "predictor_corrector": lambda n: predictor_corrector(reverse_diffusion(), langevin(0.5 / n)),
    "heun_churn": lambda n: heun(churn=8.0 / n),
}


def check(errors, order):
    """Towards the order as steps shrink; a method may do better on one problem, first-order ones never do here."""
    found = np.log2(np.array(errors[:-1]) / errors[1:])[-1]
    assert order - 0.1 < found < order + (0.1 if order == 1 else 0.6), (found, errors)


def marginal(process, t):
    return process.alpha(t) * MEAN, process.alpha(t) ** 2 * STD**2 + process.variance(t)


def endings(sampler, process, denoise, start, t, s, counts):
    """The states at s after each count of equal steps from t, by one compiled loop."""
    keys = jax.random.split(jax.random.key(0), len(start))

    @jax.jit
    def end(n):
        time = lambda i: t + (s - t) * i / n
        body = lambda i, state: sampler.step(keys, process, denoise, time(i), time(i + 1), *state)
        return jax.lax.fori_loop(0, n, body, (start, sampler.init(start)))[0]

    return [end(n) for n in counts]


@pytest.mark.parametrize(("name", "process_name"), one_process_by_day(ODE, CONTINUOUS, KINDS))
def test_order_along_the_probability_flow_of_a_mixture(name, process_name):
    """Against the exact flow of a bimodal density, which in one dimension keeps quantiles."""
    with jax.enable_x64(True):
        process, mixture, (t, s) = CONTINUOUS[process_name], Mixture(), SPAN[process_name]
        spread = jnp.sqrt(process.alpha(t) ** 2 * 0.75 + process.variance(t))
        start = (jnp.linspace(-1.3, 1.3, 6, dtype=jnp.float64) * spread)[:, None]
        exact = mixture.flow(process, start, jnp.float64(t), jnp.float64(s))
        # the flow bends: its end is not proportional to its start
        assert np.ptp(exact / start) > 0.05 * np.abs(exact / start).max()
        found = endings(NAMED[name], process, mixture.denoiser(process), start, t, s, (400, 800))
        check([float(jnp.abs(x - exact).max()) for x in found], ODE[name])


@pytest.mark.parametrize(("name", "process_name"), one_process_by_day(SDE, CONTINUOUS, KINDS))
def test_weak_order_on_gaussian_data(name, process_name):
    """The variance and mean of the exact law of the chain, against those of q_s."""
    with jax.enable_x64(True):
        process, (t, s) = CONTINUOUS[process_name], SPAN[process_name]
        denoise = gaussian_denoiser(process, MEAN, STD)
        start = [float(v) for v in marginal(process, jnp.float64(t))]
        mean, variance = marginal(process, jnp.float64(s))
        found = [
            law(SPREAD[name](n) if name in SPREAD else NAMED[name], process, denoise, np.linspace(t, s, n + 1), *start)
            for n in (200, 400)
        ]
        check([float(abs(v - variance)) for _, v in found], SDE[name])
        coarse, fine = (float(abs(m - mean)) for m, _ in found)
        assert fine < max(0.55 * coarse, 1e-9)


@nightly(
    ("name", "process_name"),
    one_process_by_day(["heun", "dpmpp_2m", "dpmpp_2s"], ["cosine", "rectified_flow"], ["cosine", "rectified_flow"]),
)
def test_second_order_survives_a_start_without_signal(name, process_name):
    """From alpha = 0, where log(alpha/sigma) = −∞ and the first step is of first order."""
    with jax.enable_x64(True):
        process = CONTINUOUS[process_name]
        start, s = jnp.linspace(-2, 2, 5, dtype=jnp.float64)[:, None], jnp.float64(0.1)
        (_, first), (mean, variance) = (marginal(process, t) for t in (jnp.float64(1.0), s))
        exact = mean + start * jnp.sqrt(variance / first)
        denoise = gaussian_denoiser(process, MEAN, STD)
        found = endings(NAMED[name], process, denoise, start, jnp.float64(1.0), s, (100, 200, 400))
        check([float(jnp.abs(x - exact).max()) for x in found], 2)


@pytest.mark.slow
@pytest.mark.parametrize("process_name", ["cosine", "rectified_flow"])
def test_the_order_down_to_clean_data_is_that_of_the_grid(process_name):
    """The last step errs by σ̃², of order 1 in uniform steps where σ̃ ~ √t, and 2 where σ̃ ~ t or the steps shrink."""
    with jax.enable_x64(True):
        process = CONTINUOUS[process_name]
        start = jnp.linspace(-2, 2, 5, dtype=jnp.float64)[:, None]
        (first_mean, first), (mean, variance) = (marginal(process, jnp.float64(t)) for t in (0.9, 0.0))
        exact = mean + (start - first_mean) * jnp.sqrt(variance / first)
        denoise = gaussian_denoiser(process, MEAN, STD)

        @jax.jit
        def error(times):
            body = lambda x, step: (heun().step(None, process, denoise, *step, x, None)[0], None)
            return jnp.abs(jax.lax.scan(body, start, (times[:-1], times[1:]))[0] - exact).max()

        for power, order in ((1, 1 if process_name == "cosine" else 2), (2, 2)):
            errors = [float(error(0.9 * jnp.linspace(1, 0, n + 1, dtype=jnp.float64) ** power)) for n in (800, 1600)]
            check(errors, order)


@pytest.mark.slow
def test_churn_must_be_spread_over_the_steps():
    """A churn that does not shrink with the steps renews the noise ever more often: the error does not vanish."""
    with jax.enable_x64(True):
        process = CONTINUOUS["vp"]
        denoise, sampler = gaussian_denoiser(process, MEAN, STD), heun(churn=0.4)
        first, last = (float(marginal(process, jnp.float64(t))[1]) for t in (0.9, 0.1))
        found = [law(sampler, process, denoise, np.linspace(0.9, 0.1, n + 1), 0.0, first)[1] for n in (100, 200, 400)]
        errors = np.abs(np.array(found) - last)
        assert np.all(np.abs(np.log2(errors[:-1] / errors[1:])) < 0.5)

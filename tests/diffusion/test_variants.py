"""Every schedule, kernel and loss: without jit, jitted, on a device and pmapped, to the same numbers."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized
from oracles import CONTINUOUS, PROCESSES

from jaxgen.diffusion import (
    denoiser,
    denoising_loss,
    edm_preconditioning,
    marginal,
    perturb,
    posterior,
    sde_coefficients,
    target,
    to_x0_eps,
    transition,
    weighting,
)
from jaxgen.distributions import Gaussian, gaussian_kl

S, T = jnp.array([0.2, 0.4, 0.5]), jnp.array([0.4, 0.8, 1.0])
X0, EPS = jax.random.normal(jax.random.key(0), (2, 3, 4))


def network(x, t, cond):
    return x * t[:, None]


def loss(kind, weight):
    return lambda process, seed, x0: denoising_loss(
        jax.random.key(seed), process, network, x0, predicts=kind, weighting=weight
    )


FUNCTIONS = {
    "alpha": (lambda process, t: process.alpha(t), T),
    "sigma": (lambda process, t: process.sigma(t), T),
    "log_snr": (lambda process, t: process.log_snr(t), S),
    "time_at_log_snr": (lambda process, value: process.time_at_log_snr(value), S - 0.4),
    "marginal": (marginal, X0, T),
    "perturb": (perturb, X0, T, EPS),
    "transition": (transition, S, T),
    "posterior": (posterior, X0, EPS, S, T),
    "target": (lambda process, *args: target(process, "v", *args), X0, EPS, T),
    "to_x0_eps": (lambda process, *args: to_x0_eps(process, "v", *args)[:2], X0, EPS, T),
    "denoiser": (lambda process, *args: denoiser(process, network, clip=1.0)(*args)[:2], X0, S),
    "edm": (lambda process, *args: edm_preconditioning(process, network)(*args, None), X0, S),
    "loss_eps": (loss("eps", weighting.simple()), jnp.asarray(0), X0),
    "loss_x0": (loss("x0", weighting.edm()), jnp.asarray(0), X0),
    "loss_v": (loss("v", weighting.min_snr()), jnp.asarray(0), X0),
}
CONTINUOUS_ONLY = {
    "sde": (sde_coefficients, S),
    "likelihood": (lambda process, value: weighting.likelihood(process)(value), S),
    "sigmoid": (lambda process, value: weighting.sigmoid(process)(value), S),
    "loss_velocity": (loss("velocity", None), jnp.asarray(0), X0),
}
CASES = [
    {
        "testcase_name": f"{function}_{name}",
        "process": PROCESSES[name],
        "function": cases[function][0],
        "args": cases[function][1:],
    }
    for cases, processes in ((FUNCTIONS, PROCESSES), (CONTINUOUS_ONLY, CONTINUOUS))
    for function in cases
    for name in processes
]


class VariantsTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_device=True, with_pmap=True)
    @parameterized.named_parameters(CASES)
    def test_same_numbers(self, process, function, args):
        found = self.variant(function)(process, *args)
        expected = function(process, *args)
        chex.assert_trees_all_close(found, expected, rtol=2e-5, atol=1e-6)

    @chex.variants(with_jit=True, without_jit=True, with_device=True, with_pmap=True)
    def test_gaussian_kl(self):
        kl = lambda a, b, c, d: gaussian_kl(Gaussian(a, b), Gaussian(c, d))
        found = self.variant(kl)(X0, jnp.exp(X0), EPS, jnp.exp(EPS))
        std_p, std_q = np.exp(np.float64(X0)), np.exp(np.float64(EPS))
        expected = np.log(std_q / std_p) + (std_p**2 + np.float64(X0 - EPS) ** 2) / (2 * std_q**2) - 0.5
        np.testing.assert_allclose(found, expected.sum(-1), rtol=1e-4)


def test_the_pmap_variant_runs_on_eight_devices():
    assert jax.device_count() == 8
    found = jax.pmap(lambda t: PROCESSES["vp"].alpha(t))(jnp.linspace(0, 1, 8))
    np.testing.assert_allclose(found, PROCESSES["vp"].alpha(jnp.linspace(0, 1, 8)), rtol=1e-6)

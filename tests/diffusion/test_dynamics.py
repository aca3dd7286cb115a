"""The flow and the reverse SDE against the formulas of Song et al. (2021) and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import CONTINUOUS, DISCRETE, Mixture, gaussian_denoiser, siblings_slow, slow

from jaxgen import diffusion
from jaxgen.diffusion import Prediction, check_finite_velocity, probability_flow, reverse_sde, score

T = jnp.array([1e-3, 0.1, 0.35, 0.6, 0.9, 0.98])
X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
every_process = pytest.mark.parametrize("name", [n if n in ("vp", "ve") else slow(n) for n in CONTINUOUS])


@every_process
def test_the_flow_and_the_reverse_sde(name):
    """dx/dt = f x − ½ g² score, and dx = [f x − ½(1 + η²) g² score] dt + η g dw̄."""
    process = CONTINUOUS[name]
    denoise = gaussian_denoiser(process, 0.4, 0.5)
    f, g2 = (np.asarray(c)[:, None] for c in diffusion.sde_coefficients(process, T))  # the papers', by test_process
    run = jax.jit(lambda eta: (reverse_sde(process, denoise, X, T, eta), probability_flow(process, denoise, X, T)))
    exact = np.asarray(score(process, denoise(X, T), T))
    for eta in (0.0, 0.5, 1.0):
        found, flow = run(eta)
        expected = f * X - 0.5 * (1 + eta**2) * g2 * exact
        np.testing.assert_allclose(found.drift, expected, rtol=2e-3, atol=1e-3)
        np.testing.assert_allclose(found.diffusion, eta * np.sqrt(g2[:, 0]), rtol=2e-3)
        if eta == 0:
            np.testing.assert_allclose(flow, expected, rtol=2e-3, atol=1e-3)


@every_process
def test_the_flow_moves_gaussian_data_as_their_marginal_moves(name):
    """The path x_t = m_t + s_t z, with m = alpha μ and s² = alpha² std² + sigma², has dx/dt = the flow."""
    process = CONTINUOUS[name]
    with jax.enable_x64(True):
        z = jnp.array([[-1.3], [0.2], [2.0]])

        def path(t):
            return process.alpha(t) * 0.4 + jnp.sqrt((process.alpha(t) * 0.5) ** 2 + process.variance(t)) * z

        @jax.jit
        def both(t):
            x, moved = jax.jvp(path, (t,), (jnp.ones_like(t),))
            return probability_flow(process, gaussian_denoiser(process, 0.4, 0.5), x, t), moved

        for t in (1e-4, 0.3, 0.7, 1.0):
            np.testing.assert_allclose(*both(jnp.float64(t)), rtol=1e-6, atol=1e-9)


def test_the_velocity_is_finite_where_the_sde_is_not():
    # d/dt cos(π/2 (t+s)/(1+s))/cos(π/2 s/(1+s)) at t = 1
    of_cosine = -np.pi / 2 / 1.008 / np.cos(np.pi / 2 * 0.008 / 1.008)
    for name, alpha_rate, sigma_rate in (("cosine", of_cosine, 0.0), ("rectified_flow", -1.0, 1.0)):
        process = CONTINUOUS[name]
        assert not np.all(np.isfinite(diffusion.sde_coefficients(process, 1.0)))
        found = diffusion.velocity(process, Prediction(jnp.full((2, 3), 0.7), jnp.full((2, 3), -0.2)), 1.0)
        np.testing.assert_allclose(found, alpha_rate * 0.7 + sigma_rate * -0.2, rtol=1e-5)


def test_one_time_for_the_batch_or_one_each():
    process, x = CONTINUOUS["vp"], X[:, :1]
    run = jax.jit(lambda x, t: reverse_sde(process, Mixture().denoiser(process), x, t))
    one, each = [run(x[i : i + 1], T[i]) for i in range(6)], run(x, T)
    np.testing.assert_allclose(each.drift, jnp.concatenate([r.drift for r in one]), rtol=1e-5)
    np.testing.assert_allclose(each.diffusion, jnp.stack([r.diffusion for r in one]), rtol=1e-6)


@pytest.mark.parametrize("name", siblings_slow(DISCRETE))
def test_a_discrete_process_is_refused(name):
    process = DISCRETE[name]
    denoise = gaussian_denoiser(process, 0.4, 0.5)
    for refused in (
        lambda: probability_flow(process, denoise, X, 0.5),
        lambda: reverse_sde(process, denoise, X, 0.5),
        lambda: check_finite_velocity(process, 1e-5, 1.0),
    ):
        with pytest.raises(ValueError, match="use a continuous process"):
            refused()


class Late(diffusion.GaussianProcess):
    """Its noise begins at t = 5e-4 only, with an infinite slope."""

    def alpha(self, t):
        return jnp.sqrt(1 - self.sigma(t) ** 2)

    def sigma(self, t):
        return jnp.sqrt(jnp.maximum(t - 5e-4, 0))


def test_the_interval_is_checked():
    vp, cosine = CONTINUOUS["vp"], CONTINUOUS["cosine"]
    for ends in ((-0.1, 1.0), (0.1, 1.1), (0.5, 0.5), (0.9, 0.1), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="0 <= t_min < t_max <= 1"):
            check_finite_velocity(vp, *ends)
    for process in (vp, cosine):
        with pytest.raises(ValueError, match=r"infinite at t=0\.0: it is finite at t_min=1e-05"):
            jax.jit(lambda process=process: check_finite_velocity(process, 0.0, 1.0))()
        check_finite_velocity(process, 1e-5, 1.0)
        jax.jit(lambda p: check_finite_velocity(p, 0.0, 1.0))(process)  # traced: cannot be looked at
    for name in ("sub_vp", "ve", "edm", "rectified_flow"):
        check_finite_velocity(CONTINUOUS[name], 0.0, 1.0)


def test_the_advice_is_a_time_at_which_the_velocity_is_finite():
    with pytest.raises(ValueError, match=r"infinite at t=1e-05: it is finite at t_min=0\.001"):
        check_finite_velocity(Late(), 1e-5, 0.5)
    check_finite_velocity(Late(), 1e-3, 0.5)
    with pytest.raises(ValueError, match=r"infinite at t=0\.0001: check alpha and sigma"):
        check_finite_velocity(Late(), 1e-4, 4e-4)

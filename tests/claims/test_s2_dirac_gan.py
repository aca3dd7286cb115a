"""Claims of S2 on the Dirac-GAN, L(θ, ψ) = f(ψθ) + f(0) with f(t) = −log(1 + e^{−t})."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import slow

from jaxgen.gan import (
    Players,
    alternating,
    dirac_gan,
    dirac_variant,
    eigenvalues,
    gradient_flow,
    jacobian,
    simultaneous,
    trajectory,
)

SLOPE, CURVATURE = 0.5, -0.25  # f′(0) and f″(0)
FIELD = dirac_gan()


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def at(theta, psi):
    return Players(jnp.float64(theta), jnp.float64(psi))


ORIGIN = (0.0, 0.0)


def derivative(t):
    """f′(t) = 1/(1 + e^t)."""
    return 1 / (1 + np.exp(t))


def test_c2_9_the_only_equilibrium_is_the_origin():
    """v = (−ψ f′(ψθ), θ f′(ψθ)), and f′ > 0: its length is r f′(ψθ), which is 0 only at r = 0."""
    theta, psi = np.meshgrid(np.linspace(-3, 3, 31), np.linspace(-3, 3, 31))
    velocity = jax.vmap(FIELD)(Players(jnp.asarray(theta.ravel()), jnp.asarray(psi.ravel())))
    theta, psi = theta.ravel(), psi.ravel()
    slope = derivative(theta * psi)
    np.testing.assert_allclose(velocity, [-psi * slope, theta * slope], rtol=1e-10, atol=1e-15)
    length, radius = np.hypot(*velocity), np.hypot(theta, psi)
    assert (length[radius > 1e-9] > 0).all()
    assert length[radius < 1e-9] == 0


def test_c2_9_the_flows_eigenvalues_are_imaginary():
    """±i f′(0)."""
    np.testing.assert_allclose(eigenvalues(FIELD, at(*ORIGIN)), [-1j * SLOPE, 1j * SLOPE], atol=1e-6)


def test_c2_9_the_flow_conserves_the_radius():
    """θ² + ψ² stays, while the point goes round."""
    starts = Players(jnp.array([1.0, 0.3, -2.0]), jnp.array([0.0, 0.4, 1.0]))
    controller = diffrax.PIDController(rtol=1e-10, atol=1e-10)
    path = gradient_flow(FIELD, starts, np.linspace(0, 15, 16), controller=controller)
    radius = np.hypot(*path)
    np.testing.assert_allclose(radius, np.broadcast_to(radius[0], radius.shape), rtol=1e-7)
    assert (np.ptp(path.generator, axis=0) > radius[0]).all()


def test_c2_9_each_simultaneous_step_multiplies_the_squared_radius_by_1_plus_h_squared_f_prime_squared():
    """r² ← r²(1 + h² f′(θψ)²) exactly, and |λ|² = 1 + h² f′(0)² > 1 at the equilibrium."""
    h = 0.3
    update = simultaneous(FIELD, h)
    theta, psi = jax.jit(lambda start: trajectory(update, start, 100))(at(0.7, -0.2))
    squared = np.asarray(theta**2 + psi**2)
    growth = 1 + h**2 * derivative(np.asarray(theta * psi)) ** 2
    np.testing.assert_allclose(squared[1:], squared[:-1] * growth[:-1], rtol=1e-12)
    found = eigenvalues(update, at(*ORIGIN))
    np.testing.assert_allclose(np.abs(found) ** 2, 1 + h**2 * SLOPE**2, rtol=1e-12)


@pytest.mark.parametrize("steps", [(1, 1), slow((2, 3))])
def test_c2_9_alternating_steps_lie_on_the_unit_circle_up_to_a_critical_size(steps):
    """λ = 1 − α²/2 ± √((1 − α²/2)² − 1) with α = √(n_g n_d) h f′(0): |λ| = 1 iff α ≤ 2, which is h ≤ 4 at 1 : 1."""
    critical = 2 / (np.sqrt(np.prod(steps)) * SLOPE)
    assert critical == 4 or steps != (1, 1)
    counts = {"generator_steps": steps[0], "critic_steps": steps[1]}
    sizes = critical * np.array([0.05, 0.5, 0.99, 1.05, 1.5])
    matrices = jax.jit(jax.vmap(lambda h: jacobian(alternating(FIELD, h, **counts), at(*ORIGIN))))(sizes)
    for h, matrix in zip(sizes, np.asarray(matrices), strict=True):
        centre = 1 - (np.sqrt(np.prod(steps)) * h * SLOPE) ** 2 / 2
        root = np.sqrt(complex(centre**2 - 1))
        found = np.sort_complex(np.linalg.eigvals(matrix))
        np.testing.assert_allclose(found, np.sort_complex([centre - root, centre + root]), atol=1e-6)
        if h < critical:
            np.testing.assert_allclose(np.abs(found), 1, atol=1e-9)
        else:
            assert np.abs(found).max() > 1.05


@pytest.mark.parametrize("sigma", [slow(0.5), 1.0, slow(2.0)])
def test_c2_9_instance_noise_makes_the_equilibrium_attract(sigma):
    """f″(0)σ² ± √(f″(0)²σ⁴ − f′(0)²), with negative real parts because f″(0) = −¼."""
    found = eigenvalues(dirac_variant("instance_noise", sigma=sigma), at(*ORIGIN))
    root = np.sqrt(complex(CURVATURE**2 * sigma**4 - SLOPE**2))
    np.testing.assert_allclose(found, np.sort_complex(CURVATURE * sigma**2 + np.array([-root, root])), atol=1e-6)
    assert (found.real < 0).all()

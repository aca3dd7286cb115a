"""The Dirac-GAN's eight variants: eigenvalues, critical strengths and critical step sizes against their formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import slow

from jaxgen.gan import (
    Players,
    alternating,
    dirac_eigenvalues,
    dirac_gan,
    dirac_variant,
    eigenvalues,
    hinge,
    simultaneous,
    trajectory,
)

A, CURVATURE = 0.5, -0.25  # f′(0) and f″(0) of f(t) = −log(1 + e^{−t})


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def at(theta, psi):
    return Players(jnp.float64(theta), jnp.float64(psi))


def pair(centre, radicand):
    root = np.sqrt(complex(radicand))
    return [centre - root, centre + root]


GAMMA, SIGMA = 0.7, 1.1
FORMULAS = {
    "unregularised": [-1j * A, 1j * A],
    "wgan": [-1j, 1j],
    "non_saturating": [-1j * A, 1j * A],
    "instance_noise": pair(CURVATURE * SIGMA**2, CURVATURE**2 * SIGMA**4 - A**2),
    "r1": pair(-GAMMA / 2, GAMMA**2 / 4 - A**2),
    "r1_r2": pair(-GAMMA, GAMMA**2 - A**2),
    "consensus": [-GAMMA * A**2 - 1j * A, -GAMMA * A**2 + 1j * A],
}


@pytest.mark.parametrize("variant", FORMULAS)
def test_the_eigenvalues_of_the_flow_are_the_formula(variant):
    found = eigenvalues(dirac_variant(variant, gamma=GAMMA, sigma=SIGMA), at(0, 0))
    np.testing.assert_allclose(found, np.sort_complex(FORMULAS[variant]), atol=1e-6)
    closed = dirac_eigenvalues(variant, gamma=GAMMA, sigma=SIGMA)
    np.testing.assert_allclose(closed, np.sort_complex(FORMULAS[variant]), atol=1e-12)
    np.testing.assert_allclose(dirac_variant(variant, gamma=GAMMA, sigma=SIGMA)(at(0, 0)), 0, atol=1e-12)


def test_wgan_gp_has_a_kink_where_the_others_have_eigenvalues():
    """v_ψ = θ − γ(|ψ| − g₀) sign ψ jumps by 2γg₀ at ψ = 0."""
    field = dirac_variant("wgan_gp", gamma=GAMMA, target=1.0)
    for psi in (1e-9, -1e-9):
        np.testing.assert_allclose(field(at(0.3, psi)).critic, 0.3 + GAMMA * np.sign(psi), atol=1e-8)
    np.testing.assert_allclose(field(at(0.3, 1.5)), [-1.5, 0.3 - GAMMA * 0.5], rtol=1e-12)
    assert dirac_eigenvalues("wgan_gp") is None


@pytest.mark.parametrize(("order", "low", "high"), [(simultaneous, 1.62, 1.97), (alternating, 1.14, 1.44)])
def test_wgan_gp_ends_in_a_cycle(order, low, high):
    update = order(dirac_variant("wgan_gp", gamma=0.7, target=1.0), 0.2)
    path = jax.jit(lambda start: trajectory(update, start, 3000))(at(1, 0))
    radius = np.hypot(*path)[-500:]
    assert abs(radius.min() - low) < 0.005
    assert abs(radius.max() - high) < 0.005


@pytest.mark.parametrize("h", [slow(0.05), 0.2])
def test_the_non_saturating_cycle_has_the_squared_radius_2h(h):
    update = simultaneous(dirac_variant("non_saturating"), h)
    starts = Players(jnp.array([0.1, 2.0]), jnp.zeros(2))  # from within and from without
    path = jax.jit(jax.vmap(lambda start: trajectory(update, start, 20_000)))(starts)
    squared = np.hypot(*path)[:, -1000:] ** 2
    np.testing.assert_allclose(squared.mean(-1), 2 * h, rtol=0.05)


# the strength at which the eigenvalues become real
CRITICAL = {"r1": ("gamma", 2 * A), "r1_r2": ("gamma", A), "instance_noise": ("sigma", np.sqrt(2))}


@pytest.mark.parametrize("variant", CRITICAL)
def test_above_its_critical_strength_a_remedy_is_overdamped(variant):
    name, critical = CRITICAL[variant]
    below, above = (eigenvalues(dirac_variant(variant, **{name: s * critical}), at(0, 0)) for s in (0.95, 1.05))
    assert np.abs(below.imag).min() > 0.05
    assert np.abs(above.imag).max() == 0


def r1_simultaneous(gamma):
    if gamma < 2 * A:
        return gamma / A**2
    return 2 / (gamma / 2 + np.sqrt(gamma**2 / 4 - A**2))


def r1_alternating(gamma):
    return min(2 / gamma, (-gamma + np.sqrt(gamma**2 + 4 * A**2)) / A**2)


# (variant, its strengths, update, the step size below which it converges)
STEP_SIZES = {
    "r1 simultaneous, underdamped": ("r1", {"gamma": 0.6}, simultaneous, r1_simultaneous(0.6)),
    "r1 simultaneous, overdamped": ("r1", {"gamma": 1.5}, simultaneous, r1_simultaneous(1.5)),
    "r1 alternating, underdamped": ("r1", {"gamma": 0.6}, alternating, r1_alternating(0.6)),
    "r1 alternating, overdamped": ("r1", {"gamma": 1.5}, alternating, r1_alternating(1.5)),
    "r1 alternating, critic first": ("r1", {"gamma": 1.5}, partial(alternating, first="critic"), r1_alternating(1.5)),
    "consensus": ("consensus", {"gamma": 1.3}, simultaneous, 2 * 1.3 / (1 + 1.3**2 * A**2)),
    "instance noise": ("instance_noise", {"sigma": 0.8}, simultaneous, 2 * 0.8**2),
}


DAILY = ("r1 simultaneous, underdamped", "r1 alternating, overdamped", "consensus", "instance noise")


@pytest.mark.parametrize("name", [name if name in DAILY else slow(name) for name in STEP_SIZES])
def test_steps_converge_below_the_critical_size_and_not_above(name):
    variant, strengths, order, critical = STEP_SIZES[name]
    field = dirac_variant(variant, **strengths)
    below, above = (np.abs(eigenvalues(order(field, s * critical), at(0, 0))).max() for s in (0.95, 1.05))
    assert below < 1 < above


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", STEP_SIZES)
def test_trajectories_agree_with_the_moduli(name):
    """From near the equilibrium, 5 % below the critical size the radius falls and 5 % above it rises."""
    variant, strengths, order, critical = STEP_SIZES[name]
    field = dirac_variant(variant, **strengths)
    path = jax.jit(jax.vmap(lambda h: trajectory(order(field, h), at(1e-6, 1e-6), 600)))(
        critical * np.array([0.95, 1.05])
    )
    radius = np.hypot(*path)
    assert radius[0, -1] < 0.2 * radius[0, 0]
    assert radius[1, -50:].max() > 5 * radius[1, 0]


@pytest.mark.parametrize("variant", [slow("wgan_gp"), "instance_noise", slow("r1"), "r1_r2", "consensus"])
def test_strengths_may_be_traced(variant):
    """At any point the field is that of the same numbers."""
    numbers, point = {"gamma": GAMMA, "sigma": SIGMA, "target": 0.8}, at(0.4, -1.3)
    traced = jax.jit(lambda numbers: dirac_variant(variant, **numbers)(point))(numbers)
    np.testing.assert_allclose(traced, dirac_variant(variant, **numbers)(point), rtol=1e-12)


def test_any_loss_makes_a_dirac_gan():
    """The hinge loss near the equilibrium: the critic's slopes −1 and 1 are those of the Wasserstein loss."""
    np.testing.assert_allclose(dirac_gan(hinge())(Players(0.3, 0.2)), [-0.2, 0.3], rtol=1e-12)


def test_unknown_variants_are_refused(unchecked):
    for refuse in (dirac_variant, dirac_eigenvalues):
        with pytest.raises(ValueError, match="unknown variant 'r3': choose one of unregularised, wgan"):
            refuse("r3")


@pytest.mark.parametrize("bad", [{"gamma": -1.0}, {"sigma": -1.0}, {"target": np.nan}])
def test_numbers_out_of_range_are_refused_even_where_unused(bad):
    """R1 has a strength alone, the unregularised game nothing."""
    for variant in ("r1", "unregularised"):
        with pytest.raises(ValueError, match=f"{next(iter(bad))} must be finite and not negative"):
            dirac_variant(variant, **bad)

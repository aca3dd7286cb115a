"""The exercise on the Dirac-GAN: a whole small run, its parts against closed forms, its verdicts, its refusals."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from shown import metrics_of

from experiments.dirac_gan import (
    EXERCISE,
    measure_cycles,
    measure_eigenvalues,
    measure_portraits,
    measure_steps,
    report,
)
from experiments.dirac_gan.bisection import bracket
from experiments.dirac_gan.config import PRESETS, Config
from experiments.dirac_gan.measure import Measured
from experiments.dirac_gan.variants import NAMES, spectral_radii
from experiments.kit.plane import lattice
from experiments.kit.run import begin

SMALL = PRESETS["smoke"]


@pytest.fixture(autouse=True)
def x64():
    """As in the experiment."""
    with jax.enable_x64(True):
        yield


def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("which is below 10⁻⁶", "which is rounding", "modulus 1 up to h = 4, within", "rise 5 % above them"),
        "portraits.png radii.png damping.png moduli.png critical.png",
    )
    assert len(metrics["eigenvalues"]) == 7
    assert list(metrics["outcomes"]) == list(NAMES.values())
    assert metrics["worst critical size"]["R1, alternating"] < 0.05


# -- parts against mathematics -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    """The eigenvalues at a few strengths."""
    with jax.enable_x64(True):
        return measure_eigenvalues.eigenvalues(replace(SMALL, strengths=6, gamma=0.6))


def test_eigenvalues_and_critical_strengths_are_the_formulas(found):
    assert found.worst < 1e-6
    assert set(found.measured) == set(NAMES) - {"wgan_gp"}
    np.testing.assert_allclose(found.measured["r1"], -0.3 + np.array([-0.4j, 0.4j]), atol=1e-12)
    np.testing.assert_allclose(found.measured["consensus"], -0.15 + np.array([-0.5j, 0.5j]), atol=1e-12)
    for variant, exact in {"r1": 1.0, "r1_r2": 0.5, "instance_noise": 2.0}.items():
        assert found.critical[variant].low <= exact * (1 + 1e-5)
        assert found.critical[variant].high >= exact * (1 - 1e-5)
        assert found.critical[variant].error < 1e-4


def test_the_slowest_rate_is_fastest_at_the_critical_strength(found):
    """R1 at γ = ½, 1, …, 3: the real part −γ/2 until γ = 1, and then −γ/2 + √(γ²/4 − ¼)."""
    gamma = 0.5 * np.arange(1, 7)
    np.testing.assert_allclose(found.strengths, gamma)
    exact = -gamma / 2 + np.sqrt(np.maximum(gamma**2 / 4 - 0.25, 0))
    np.testing.assert_allclose(found.slowest["r1"], exact, atol=1e-7)


def test_unregularised_steps_obey_their_laws():
    laws = measure_steps.step_laws(SMALL)
    assert laws.growth_error < 1e-14
    assert laws.modulus_error < 1e-14
    assert laws.circle_error < 1e-7
    assert laws.low <= 4 * (1 + 1e-6)
    assert laws.high >= 4
    assert laws.high / laws.low < 1.001
    alpha = laws.beyond_size / 2
    half = alpha**2 / 2 - 1
    np.testing.assert_allclose(laws.beyond, half + np.sqrt(half**2 - 1), rtol=1e-10)


@pytest.fixture(scope="module")
def critical():
    """The critical step sizes of every case at a few strengths."""
    with jax.enable_x64(True):
        return {(of.variant, of.order): of for of in measure_steps.critical_sizes(replace(SMALL, checked=(0.6, 1.5)))}


def test_critical_step_sizes_are_bracketed_and_trajectories_agree(critical):
    """The formulas of the references at γ or σ² of 0.6 and 1.5."""
    exact = {
        ("instance_noise", "simultaneous"): [1.2, 3.0],  # 2σ²
        ("r1", "simultaneous"): [2.4, 2 / (0.75 + np.sqrt(0.3125))],
        ("r1", "alternating"): [4 * (np.sqrt(1.36) - 0.6), 4 * (np.sqrt(3.25) - 1.5)],
        ("consensus", "simultaneous"): [1.2 / 1.09, 3 / 1.5625],
    }
    assert set(critical) == set(exact)
    for case, of in critical.items():
        np.testing.assert_allclose(of.formula[-2:], exact[case], rtol=1e-12)
        np.testing.assert_allclose(of.middle[-2:], exact[case], rtol=1e-3)
        assert of.error < 0.05
        assert of.confirmed, case


def test_trajectories_can_contradict_a_step_size(critical):
    """Far from the critical size both trajectories are on one side of it."""
    for factor, falls in ((0.5, True), (2.0, False)):
        radii = measure_steps.radii_after("r1", "simultaneous", np.array([0.6]), factor * np.array([2.4]))
        assert (radii[0] < 1) == falls
    of = critical["r1", "simultaneous"]
    assert not of._replace(rises=~of.rises).confirmed


def test_moduli_by_step_size():
    of = measure_steps.moduli(replace(SMALL, gamma=0.6, step_sizes=12))
    np.testing.assert_allclose(of.sizes, 0.5 * np.arange(1, 13))
    np.testing.assert_allclose(of.largest["unregularised", "simultaneous"], np.sqrt(1 + of.sizes**2 / 4), rtol=1e-12)
    np.testing.assert_allclose(of.largest["r1", "simultaneous"], np.abs(1 + of.sizes * (-0.3 + 0.4j)), rtol=1e-12)


@pytest.mark.slow
def test_verdicts_of_the_portraits():
    """Those of the references, at γ = .7, g₀ = 1, h = .2, and the cycles of WGAN-GP."""
    found = measure_portraits.portraits(replace(Config(), followed_steps=1500))
    steps = {"unregularised": "diverges", "wgan": "diverges", "wgan_gp": "cycles", "non_saturating": "cycles"}
    others = {"unregularised": "cycles", "wgan": "cycles", "wgan_gp": "cycles"}
    for variant in NAMES:
        assert found[variant].outcomes == {
            "flow": others.get(variant, "converges"),
            "simultaneous": steps.get(variant, "converges"),
            "alternating": others.get(variant, "converges"),
        }
    assert found["unregularised"].drift < 1e-6
    end = found["wgan_gp"].end
    np.testing.assert_allclose([end["simultaneous"], end["alternating"]], [1.97, 1.44], atol=0.006)


@pytest.mark.slow
def test_arrows_and_steps_are_those_of_the_variant():
    """WGAN: v = (−ψ, θ); a step of R1 from (1, ½): θ − h ψ f′(½) and ψ + h (θ f′(½) − γψ)."""
    found = measure_portraits.portraits(replace(SMALL, start=(1.0, 0.5), gamma=0.6))
    places = lattice(measure_portraits.EXTENT, measure_portraits.CELLS).reshape(-1, 2)
    np.testing.assert_allclose(found["wgan"].velocity, places[:, ::-1] * [-1, 1], atol=1e-12)
    slope = 1 / (1 + np.exp(0.5))
    theta = 1 - 0.2 * 0.5 * slope
    exact = [theta, 0.5 + 0.2 * (slope - 0.3)], [theta, 0.5 + 0.2 * (theta / (1 + np.exp(0.5 * theta)) - 0.3)]
    np.testing.assert_allclose(found["r1"].paths[1, 1:], exact, rtol=1e-12)


def test_outcomes_and_verdicts_in_words():
    radius = np.ones((101, 3)) * [1.0, 1.0, 1.0]
    radius[60:, 0], radius[60:, 1] = 1.1, 0.9
    of = measure_portraits.Portrait("a", np.zeros((1, 2)), np.stack([radius, 0 * radius], -1))
    assert of.outcomes == {"flow": "diverges", "simultaneous": "converges", "alternating": "cycles"}
    assert report.verdict(of) == "converges,\nbut not by continuous flow,\nbut not by alternating steps"
    assert report.verdict(of._replace(paths=of.paths[:, [0, 2, 2]])) == "does not converge"
    arrived = of._replace(paths=of.paths * 1e-12)
    assert set(arrived.outcomes.values()) == {"converges"}, "rounding near 0 is no divergence"
    assert report.verdict(arrived) == "converges"


@pytest.fixture(scope="module")
def cycled():
    """The cycle at h = .2."""
    with jax.enable_x64(True):
        return measure_cycles.cycles(replace(SMALL, cycle_steps=4000))


def test_the_non_saturating_cycle_and_the_slow_end_of_the_flow(cycled):
    of = cycled
    np.testing.assert_allclose(of.simultaneous, 0.4, rtol=0.05)
    assert (of.alternating < 0.05).all()
    assert of.broken_in_turn
    assert not of._replace(alternating=of.simultaneous).broken_in_turn
    assert abs(of.late - 8) < 0.1
    assert of._replace(simultaneous=np.array([[0.4, 0.3]])).error == pytest.approx(0.25)


@pytest.mark.slow
def test_the_report_says_what_was_measured(found, critical, cycled, tmp_path):
    """With trajectories that are made up: R1 converges, instance noise only in the flow, and no other does."""
    paths = np.ones((41, 3, 2))
    of = measure_portraits.Portrait("", np.ones((measure_portraits.CELLS**2, 2)), paths)
    portraits = {variant: of._replace(name=name) for variant, name in NAMES.items()}
    portraits["r1"] = portraits["r1"]._replace(paths=paths * np.geomspace(1, 1e-2, 41)[:, None, None])
    mixed = paths * np.stack([np.geomspace(1, 1e-2, 41), np.ones(41), np.geomspace(1, 9, 41)], -1)[..., None]
    portraits["instance_noise"] = portraits["instance_noise"]._replace(paths=mixed)
    measured = Measured(
        portraits,
        found,
        measure_steps.moduli(SMALL),
        measure_steps.step_laws(SMALL)._replace(circle_error=0.1),
        [of._replace(falls=~of.falls) if case[0] == "consensus" else of for case, of in critical.items()],
        cycled._replace(simultaneous=np.full((1, 2), 0.3)),
    )
    page = report.write(begin(EXERCISE, replace(SMALL, runs=tmp_path), ()), measured).read_text()
    for words in (
        "all converge for R1. None of the three converges for unregularised, WGAN, WGAN-GP, non-saturating, R1 + R2",
        "For instance noise, these converge: continuous flow; these cycle: simultaneous steps; these diverge: "
        "alternating steps.",
        "but the measured moduli differ from 1 by up to 0.10",
        "does not make simultaneous steps cycle at r² = 2h",
        "Some trajectories contradict them: those of consensus, simultaneous steps.",
    ):
        assert words in page


def test_bisection():
    found = bracket(lambda x: x**2 < np.array([2.0, 9.0]), np.array([0.1, 0.1]), np.array([10.0, 10.0]))
    assert np.all(found.low**2 < [2, 9])
    assert np.all(found.high**2 >= [2, 9])
    np.testing.assert_allclose(found.middle, np.sqrt([2, 9]), rtol=1e-5)
    with pytest.raises(ValueError, match="must hold at the lower ends"):
        bracket(lambda x: x < 0, np.ones(1), np.full(1, 2.0))


def test_eigenvalues_as_text():
    assert report.eigenvalue_pair(np.array([-0.5j, 0.5j])) == "±0.500i"
    assert report.eigenvalue_pair(np.array([-0.25 - 0.4j, -0.25 + 0.4j])) == "−0.250 ± 0.400i"
    assert report.eigenvalue_pair(np.array([-1.2 + 0j, -0.2 + 0j])) == "−1.20 and −0.200"


def test_strengths_of_noise_are_variances():
    """|λ| = |1 + h(−σ²/4 ± i√(¼ − σ⁴/16))| at σ² = 1.2."""
    exact = np.abs(1 + 0.5 * (-0.3 + 0.4j))
    found = spectral_radii("instance_noise", "simultaneous", np.array([1.2]), np.array([0.5]))
    np.testing.assert_allclose(found, exact, rtol=1e-7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": 0.0}, "--gamma must be positive and finite"),
        ({"step_size": float("inf")}, "--step-size must be positive and finite"),
        ({"followed_steps": 10}, "--followed-steps must be at least 20"),
        ({"shown_steps": 41}, "--shown-steps must not exceed --followed-steps 40"),
        ({"start": (0.0, 0.0)}, "--start must be finite and not the equilibrium"),
        ({"checked": (0.6, 6.0)}, r"--checked must lie in \(0, 5\]"),
        ({"cycle_sizes": ()}, "--cycle-sizes needs at least one value"),
        ({"strengths": 1}, "--strengths must be at least 2"),
    ],
)
def test_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)

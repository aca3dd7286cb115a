"""Toy densities by what defines them: their curves, exactly, and their laws by Kolmogorov–Smirnov and chi-square."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest, chisquare, kstest
from sklearn.datasets import make_moons, make_swiss_roll

from jaxgen.data import checkerboard, moons, ring, spirals, swiss_roll

TOYS = {"ring": ring, "moons": moons, "checkerboard": checkerboard, "spirals": spirals, "swiss_roll": swiss_roll}
every_toy = pytest.mark.parametrize("name", TOYS)
KEY = jax.random.key(0)
CENTRE = np.array([0.5, 0.25])  # of scikit-learn's moons


def polar(x):
    x = np.float64(x)
    return np.linalg.norm(x, axis=-1), np.arctan2(x[:, 1], x[:, 0]) % (2 * np.pi)


def drawn(toy, n=4000, **options):
    with jax.enable_x64(True):
        return np.asarray(toy(KEY, n, **options))


def test_ring():
    for radius in (1.0, 3.5):
        x = drawn(ring, radius=radius)
        r, angle = polar(x)
        np.testing.assert_allclose(r, radius, rtol=1e-14)
        assert kstest(angle / (2 * np.pi), "uniform").pvalue > 1e-3
    # of a noisy ring, r² = (R + σz₁)² + σ²z₂² in every direction
    r, _ = polar(drawn(ring, noise=0.1))
    spread = np.sqrt(4 * 0.1**2 + 4 * 0.1**4)
    assert abs(np.mean(r**2) - 1.02) < 5 * spread / np.sqrt(4000)
    np.testing.assert_allclose(np.std(r**2), spread, rtol=5 * np.sqrt(2 / 4000))


def test_moons():
    for scale in (1.0, 2.5):
        x = drawn(moons, scale=scale) / scale
        upper = np.isclose(np.linalg.norm(x + CENTRE, axis=-1), 1, atol=1e-12) & (x[:, 1] >= -0.25 - 1e-12)
        lower = np.isclose(np.linalg.norm(x - CENTRE, axis=-1), 1, atol=1e-12) & (x[:, 1] <= 0.25 + 1e-12)
        assert np.all(upper ^ lower)
        assert binomtest(int(upper.sum()), len(x)).pvalue > 1e-3
        for side, on in ((1, upper), (-1, lower)):
            _, angle = polar(side * x[on] + CENTRE)
            assert kstest(angle / np.pi, "uniform").pvalue > 1e-3


def test_moons_are_scikit_learns_about_the_origin():
    ours, (theirs, _) = drawn(moons), make_moons(100, noise=None)
    gaps = np.linalg.norm((theirs - CENTRE)[:, None] - ours, axis=-1).min(-1)
    assert gaps.max() < 2e-2


@pytest.mark.parametrize("cells", [4, *(pytest.param(cells, marks=pytest.mark.slow) for cells in (2, 6))])
def test_checkerboard(cells):
    """Always on a dark square, and equally often in every quarter of every dark square."""
    scale = 3.0
    x = drawn(checkerboard, cells=cells, scale=scale)
    place = (x / scale + 1) / 2 * cells
    assert place.min() >= 0
    assert place.max() <= cells
    square = np.floor(place).astype(int)
    assert np.all(square.sum(-1) % 2 == 0)
    quarter = np.floor(2 * place).astype(int)
    counts = np.bincount(quarter[:, 0] * 2 * cells + quarter[:, 1], minlength=4 * cells**2)
    assert np.sum(counts > 0) == 2 * cells**2
    assert chisquare(counts[counts > 0]).pvalue > 1e-3
    within = place - square
    for axis in range(2):
        assert kstest(within[:, axis], "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("arms", "turns", "scale"),
    [(3, 0.7, 4.0), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((1, 2.0, 1.0), (2, 1.5, 1.0)))],
)
def test_spirals(arms, turns, scale):
    """r = scale θ/(2π turns), up to the turn of an arm, each arm as often, and r²/scale² uniform."""
    x = drawn(spirals, arms=arms, turns=turns, scale=scale)
    r, angle = polar(x)
    assert r.max() <= scale
    behind = (angle - 2 * np.pi * turns * r / scale) / (2 * np.pi / arms)
    np.testing.assert_allclose(behind, np.round(behind), atol=1e-9)
    counts = np.bincount(np.round(behind).astype(int) % arms)
    assert len(counts) == arms
    assert arms == 1 or chisquare(counts).pvalue > 1e-3
    assert kstest((r / scale) ** 2, "uniform").pvalue > 1e-3


def test_swiss_roll():
    for scale in (1.0, 3.0):
        r, angle = polar(drawn(swiss_roll, scale=scale))
        unrolled = 4.5 * np.pi * r / scale
        turns = (unrolled - angle) / (2 * np.pi)
        np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
        assert kstest((unrolled / np.pi - 1.5) / 3, "uniform").pvalue > 1e-3


def test_the_swiss_roll_is_scikit_learns_from_its_end():
    theirs, _ = make_swiss_roll(100, noise=0.0, random_state=0)
    ours = drawn(swiss_roll, scale=4.5 * np.pi)
    gaps = np.linalg.norm(theirs[:, None, [0, 2]] - ours, axis=-1).min(-1)
    assert gaps.max() < 0.3  # of turns 6.3 apart


# -- what all share ----------------------------------------------------------------------------------------------


@every_toy
def test_noise_is_gaussian_in_both_coordinates(name):
    still, noisy = drawn(TOYS[name]), drawn(TOYS[name], noise=0.3)
    z = (noisy - still) / 0.3
    assert abs(np.mean(z[:, 0] * z[:, 1])) < 5 / np.sqrt(len(z))
    for axis in range(2):
        assert kstest(z[:, axis], "norm").pvalue > 1e-3
        # independent of the curve
        assert abs(np.corrcoef(z[:, axis], still[:, axis])[0, 1]) < 5 / np.sqrt(len(z))


@every_toy
def test_scale(name):
    size = "radius" if name == "ring" else "scale"
    one, three = (drawn(TOYS[name], **{size: value}) for value in (1.0, 3.0))
    assert one.dtype == np.float64
    np.testing.assert_allclose(three, 3 * one, rtol=1e-12)
    assert np.abs(one.mean(0)).max() < 0.3  # about the origin


@pytest.mark.parametrize("name", ["ring", *(pytest.param(name, marks=pytest.mark.slow) for name in list(TOYS)[1:])])
def test_transformations(name):
    toy, keys = TOYS[name], jax.random.split(KEY, 3)
    x = toy(keys[1], 7, noise=0.1)
    assert (x.shape, x.dtype) == ((7, 2), jnp.float32)
    many = jax.jit(jax.vmap(lambda key, noise: toy(key, 7, noise=noise), (0, None)))(keys, 0.1)
    np.testing.assert_allclose(many[1], x, rtol=1e-5, atol=1e-6)
    assert np.abs(many[0] - many[1]).max() > 0.01


def test_refusals(unchecked):
    for name, toy in TOYS.items():
        size = "radius" if name == "ring" else "scale"
        for options, message in (({"noise": -0.1}, "noise"), ({size: 0.0}, size), ({size: float("nan")}, "finite")):
            with pytest.raises(ValueError, match=message):
                toy(KEY, 5, **options)
        with pytest.raises(ValueError, match="n must be at least 1"):
            toy(KEY, 0)
    for toy, options, message in (
        *((checkerboard, {"cells": cells}, "even") for cells in (0, 3, -2)),
        (spirals, {"arms": 0}, "arms must be at least 1"),
        (spirals, {"turns": 0.0}, "turns"),
    ):
        with pytest.raises(ValueError, match=message):
            toy(KEY, 5, **options)

"""Training times by their distribution, sampling grids by their definition."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import CONTINUOUS, PROCESSES, siblings_slow, slow
from refusals import refuses
from scipy.stats import kstest, norm

from jaxgen.diffusion import (
    cosine_betas,
    edm,
    from_betas,
    karras_grid,
    log_snr_grid,
    noise_grid,
    quadratic_grid,
    sub_vp,
    subset_grid,
    uniform_grid,
    ve,
    vp,
)
from jaxgen.diffusion.times import log_normal, stratified, uniform

KEY = jax.random.key(0)


def test_uniform_times():
    assert kstest(np.asarray(uniform()(KEY, 5000)), "uniform").pvalue > 1e-3
    t = np.asarray(uniform(minimum=0.2)(KEY, 5000))
    assert t.min() >= 0.2
    assert kstest((t - 0.2) / 0.8, "uniform").pvalue > 1e-3
    steps = np.asarray(uniform(10)(KEY, 20_000)) * 10
    values, counts = np.unique(np.round(steps, 4), return_counts=True)
    assert values.tolist() == list(range(1, 11))
    assert np.all(np.abs(counts - 2000) < 5 * np.sqrt(2000))


@pytest.mark.slow
def test_stratified_times_fall_one_in_each_stratum():
    t = np.asarray(stratified(minimum=0.0)(KEY, 100))
    # the strata start at the random offset, so shift it away
    shifted = np.sort((t - t[0] + 0.005) % 1)
    np.testing.assert_array_equal(np.floor(shifted * 100), np.arange(100))
    first = [float(stratified(minimum=0.0)(key, 4)[2]) for key in jax.random.split(KEY, 400)]
    assert kstest(first, "uniform").pvalue > 1e-3
    steps = np.asarray(stratified(10)(KEY, 1000)) * 10
    assert np.all(np.abs(np.unique(np.round(steps), return_counts=True)[1] - 100) <= 1)


@pytest.mark.parametrize("name", ["vp", slow("edm"), slow("rectified_flow")])
def test_log_normal_times(name):
    process = CONTINUOUS[name]
    t = np.asarray(log_normal(process)(KEY, 5000))
    log_noise = -np.asarray(process.log_snr(t)) / 2
    assert kstest(log_noise, norm(-1.2, 1.2).cdf).pvalue > 1e-3
    log_noise = -np.asarray(process.log_snr(log_normal(process, 0.3, 0.5)(KEY, 5000))) / 2
    assert kstest(log_noise, norm(0.3, 0.5).cdf).pvalue > 1e-3


def test_karras_grid_of_the_paper():
    grid = karras_grid(CONTINUOUS["edm"], 18)
    sigma = grid * 80
    assert grid.shape == (19,)
    np.testing.assert_allclose(sigma[:3], [80, 57.586, 40.786], rtol=1e-4)
    np.testing.assert_allclose(sigma[-3:], [0.007528, 0.002, 0], rtol=1e-3)


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", siblings_slow(PROCESSES))
def test_noise_grids_hold_the_noise_they_promise(name):
    process = PROCESSES[name]
    sigmas = np.array([5.0, 1.0, 0.2])
    grid = noise_grid(process, sigmas)
    levels = np.linspace(-4, 2, 5)
    by_log_snr = log_snr_grid(process, 5, -4.0, 2.0)
    if process.steps is None:
        np.testing.assert_allclose(process.sigma(grid[:-1]) / process.alpha(grid[:-1]), sigmas, rtol=1e-3)
        np.testing.assert_allclose(process.log_snr(by_log_snr[:-1]), levels, atol=1e-3)
    else:  # no entry of the table is nearer
        table = np.asarray(process.log_snr(np.arange(1, process.steps + 1) / process.steps))
        nearest = np.abs(table - levels[:, None]).min(1)
        np.testing.assert_allclose(np.abs(process.log_snr(by_log_snr[:-1]) - levels), nearest, atol=1e-5)
    assert grid[-1] == by_log_snr[-1] == 0


def test_meeting_times_are_merged():
    process = from_betas(cosine_betas(20))
    grid = karras_grid(process, 50)
    assert len(grid) < 51
    assert np.all(np.diff(grid) < 0)


@settings(deadline=None, max_examples=20)
@given(steps=st.integers(1, 1500), data=st.data(), spacing=st.sampled_from(["leading", "trailing", "linspace"]))
def test_any_subset_descends_and_ends_where_it_says(steps, data, spacing):
    n = data.draw(st.integers(1, steps))
    grid = subset_grid(steps, n, spacing)
    index = np.round(grid * steps).astype(int)
    assert grid.shape == (n + 1,)
    assert np.all(np.diff(index) < 0)
    np.testing.assert_allclose(grid * steps, index, atol=1e-9)
    assert index[-1] == 0
    if spacing in ("trailing", "linspace"):
        assert index[0] == steps
    if spacing == "leading" or (spacing == "linspace" and n > 1):
        assert index[-2] == 1
    if n == steps:
        np.testing.assert_array_equal(index, np.arange(steps, -1, -1))


def test_subsets_of_a_thousand():
    assert (subset_grid(1000, 10, "leading")[:-1] * 1000 - 1).round().tolist() == list(range(900, -1, -100))
    assert (subset_grid(1000, 10, "trailing")[:-1] * 1000 - 1).round().tolist() == list(range(999, 0, -100))
    # 7 does not divide 1000
    index = {s: (subset_grid(1000, 7, s)[-2::-1] * 1000 - 1).round().tolist() for s in ("leading", "trailing")}
    assert index["leading"] == [0, 142, 285, 428, 571, 714, 857]
    assert index["trailing"] == [142, 285, 428, 571, 714, 857, 999]
    assert quadratic_grid(4).tolist() == [1, 0.5625, 0.25, 0.0625, 0]
    for spacing in ("leading", "trailing", "linspace"):
        gaps = -np.diff(subset_grid(1000, 7, spacing)[:-1] * 1000).round()
        assert np.ptp(gaps) <= 1


@settings(deadline=None, max_examples=10)
@given(n=st.integers(1, 300))
def test_plain_grids(n):
    for grid in (uniform_grid(n), quadratic_grid(n)):
        assert grid.shape == (n + 1,)
        assert grid[0] == 1
        assert grid[-1] == 0
        assert np.all(np.diff(grid) < 0)


@settings(deadline=None, max_examples=6)
@given(low=st.floats(0.05, 5.0), ratio=st.floats(1.0, 100.0), n=st.sampled_from([1, 40]))
def test_noise_grids_of_any_schedule_descend_within_the_unit_interval(low, ratio, n):
    processes = vp(low, low * ratio), sub_vp(low, low * ratio), ve(low / 100, low * ratio + 1), edm(low * ratio)
    for process in processes:
        for grid in (karras_grid(process, n), log_snr_grid(process, n)):
            assert 2 <= len(grid) <= n + 1
            assert grid[0] <= 1
            assert grid[-1] == 0
            assert np.all(np.diff(grid) < 0)


def test_refusals(unchecked):
    refuses(
        ("steps >= 1", lambda: uniform(0)),
        ("minimum", lambda: uniform(minimum=1.0)),
        ("std must be positive", lambda: log_normal(vp(), std=0.0)),
        ("subsets of 1 to 100 of them, got n=101", lambda: subset_grid(100, 101)),
        ("got n=0", lambda: subset_grid(100, 0)),
        ("unknown spacing 'even'", lambda: subset_grid(100, 10, "even")),
        ("n must be at least 1", lambda: uniform_grid(0)),
        ("n must be at least 1", lambda: karras_grid(vp(), 0)),
        ("sigma_min < sigma_max", lambda: karras_grid(vp(), 10, 80.0, 0.002)),
        ("log_snr_min < log_snr_max", lambda: log_snr_grid(vp(), 10, 1.0, 0.0)),
        ("concrete parameters", lambda: jax.jit(lambda process: noise_grid(process, np.array([1.0])))(vp())),
        *(
            ("positive, finite and strictly descending", lambda sigmas=sigmas: noise_grid(vp(), np.array(sigmas)))
            for sigmas in ([0.1, 1.0], [1.0, 0.0], [1.0, np.nan], [np.inf, 1.0], [[1.0]], [1.0, 1.0])
        ),
    )

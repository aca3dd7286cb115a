"""Precision, recall, density and coverage against scikit-learn's neighbours and cases worked by hand."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from jaxgen.metrics import distances, precision_recall

rng = np.random.default_rng


def oracle(real, generated, k):
    """The same four numbers from scikit-learn's neighbour radii and scipy's distances."""
    reach = lambda x: NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, k]
    across = cdist(real, generated)
    in_real = across <= reach(real)[:, None]
    in_generated = across <= reach(generated)[None]
    return in_real.any(0).mean(), in_generated.any(1).mean(), in_real.sum(0).mean() / k, in_real.any(1).mean()


@pytest.mark.parametrize("k", [1, 3])
def test_agrees_with_scikit_learns_neighbours(k):
    real, generated = rng(0).normal(size=(120, 4)), 1.7 * rng(1).normal(size=(90, 4)) + 1
    expected = oracle(real, generated, k)
    assert 0.05 < expected[0] < 1  # the case must be able to tell right from wrong
    assert 0.05 < expected[1] < 1
    np.testing.assert_allclose(precision_recall(real, generated, k), expected, rtol=1e-12)


def test_blocks_change_nothing(monkeypatch):
    real, generated = rng(0).normal(size=(50, 3)), rng(1).normal(size=(40, 3)) + 0.5
    whole = precision_recall(real, generated)
    monkeypatch.setattr(distances, "_BLOCK_ENTRIES", 200)
    assert precision_recall(real, generated) == whole


def test_on_a_line_by_hand():
    """Real 0 1 2 10, k=1: radii 1 1 1 8. Generated 0.5, 1.5, 9, 30: radii 1, 1, 7.5, 21."""
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    generated = np.array([[0.5], [1.5], [9.0], [30.0]])
    # In real balls: 0.5 in two (0, 1), 1.5 in two (1, 2), 9 in one (10's), 30 in none.
    # Real in generated balls: 0 in [-.5, 1.5], 1, 2 in [.5, 2.5], 10 in [1.5, 16.5]: all four.
    assert precision_recall(real, generated, k=1) == (0.75, 1.0, 5 / 4, 1.0)


def test_identical_sets_are_perfect_even_with_copies_of_one_point():
    x = rng(0).normal(size=(60, 5)) + 100
    x[:10] = x[0]  # ten copies: their balls have radius zero
    scores = precision_recall(x, x[::-1])
    assert (scores.precision, scores.recall, scores.coverage) == (1, 1, 1)


def test_round_off_does_not_part_copies_of_one_point():
    points = rng(0).normal(size=(20, 5))
    generated = np.concatenate([np.repeat(points, 4, axis=0), 1000 + 100 * rng(2).normal(size=(80, 5))])
    assert precision_recall(np.repeat(points, 10, axis=0), generated).precision == 0.5


def test_far_sets_share_nothing():
    x = rng(0).normal(size=(60, 5))
    assert precision_recall(x, x + 1000) == (0, 0, 0, 0)


def test_density_of_samples_of_the_real_distribution_averages_one():
    generator = rng(6)
    draws = [precision_recall(*generator.normal(size=(2, 100, 3)), k=3).density for _ in range(100)]
    assert abs(np.mean(draws) - 1) < 4 * np.std(draws, ddof=1) / 10


def test_a_dropped_mode_lowers_recall_and_coverage_only():
    near, far = rng(0).normal(size=(200, 2)), rng(1).normal(size=(200, 2)) + 50
    scores = precision_recall(np.concatenate([near, far]), rng(2).normal(size=(400, 2)))
    assert scores.precision > 0.9
    assert 0.4 < scores.recall <= 0.5
    assert scores.coverage <= 0.5


def test_outliers_lower_precision_only():
    real = rng(0).normal(size=(400, 2))
    scattered = np.concatenate([rng(1).normal(size=(300, 2)), 1000 * rng(2).normal(size=(100, 2)) + 5000])
    scores = precision_recall(real, scattered)
    clean = precision_recall(real, rng(1).normal(size=(300, 2)))
    assert scores.precision == pytest.approx(0.75 * clean.precision)
    assert scores.recall >= 0.9


def test_refuses_a_k_out_of_range_and_bad_features():
    x = rng(0).normal(size=(10, 3))
    for k in (0, 5):
        with pytest.raises(ValueError, match="k must be from 1 to one less than the samples \\(5\\)"):
            precision_recall(x, x[:5], k=k)
    with pytest.raises(ValueError, match="dimension 3 and 2"):
        precision_recall(x, x[:, :2])
    with pytest.raises(ValueError, match="generated has NaN"):
        precision_recall(x, np.full_like(x, np.nan))
    with pytest.raises(ValueError, match="real must be an array of shape"):
        precision_recall(x[0], x)

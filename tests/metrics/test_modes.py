"""Mode coverage of mixtures whose answer is known."""

import numpy as np
import pytest

from jaxgen.metrics import mode_coverage

RNG = np.random.default_rng(0)
SIDE = np.arange(-2, 3) / np.sqrt(2)
CENTRES, STD = np.stack(np.meshgrid(SIDE, SIDE), -1).reshape(25, 2), 0.05 / np.sqrt(8)


def draws(modes, std=STD):
    return CENTRES[modes] + std * RNG.normal(size=(len(modes), 2))


@pytest.mark.parametrize(("within", "share"), [(3.0, 0.98889), (4.0, 0.99966)])
def test_the_mixtures_own_draws_find_every_mode(within, share):
    n = 50_000
    found = mode_coverage(draws(RNG.integers(0, 25, n)), CENTRES, STD, within=within)
    assert found.modes == 25
    assert abs(found.good_share - share) < 4 * np.sqrt(share * (1 - share) / n) + 5e-6
    # 2n KL is χ² with 24 degrees of freedom
    assert 0 < 2 * n * found.kl < 24 + 6 * np.sqrt(48)
    assert found.counts.sum() == n


def test_lost_modes_and_stray_samples_are_counted():
    modes = np.array([0] * 30 + [7] * 60 + [24] * 10)
    samples = draws(modes, 0.1 * STD)
    samples[-9:] += [0, 5 * STD]  # outside of three deviations, and still nearest to mode 24
    found = mode_coverage(samples, CENTRES, STD)
    assert (found.modes, found.good_share) == (3, 0.91)
    assert mode_coverage(samples, CENTRES, STD, min_samples=2).modes == 2
    assert found.counts[[0, 7, 24]].tolist() == [30, 60, 10]
    assert found.good_counts[[0, 7, 24]].tolist() == [30, 60, 1]
    q = np.array([0.3, 0.6, 0.1])
    np.testing.assert_allclose(found.kl, np.sum(q * np.log(q * 25)), rtol=1e-12)


def test_modes_may_have_weights_and_widths_of_their_own():
    centres, weights, std = np.array([[-1.0], [1.0]]), np.array([0.25, 0.75]), np.array([0.1, 0.01])
    samples = np.array([[-1.2], [0.96], [1.0], [1.02]])
    found = mode_coverage(samples, centres, std, weights=weights)
    assert found.kl == pytest.approx(0, abs=1e-12)
    assert (found.good_share, found.modes) == (0.75, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"std": 0.0}, "std must be positive"),
        ({"std": np.ones(3)}, "std must be one number or 25"),
        ({"weights": np.ones(25)}, "weights must be 25 positive numbers of sum 1"),
        ({"centres": np.zeros((4, 3))}, "3"),
        ({"min_samples": 0}, "min_samples must be at least 1"),
        ({"within": -1.0}, "within must be positive"),
    ],
)
def test_bad_input_is_refused(changes, message, unchecked):
    with pytest.raises(ValueError, match=message):
        mode_coverage(**({"samples": np.zeros((4, 2)), "centres": CENTRES, "std": STD} | changes))

"""The exercise on energies in the plane: a whole small run, the densities, the distance, and its flags."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from oracles import nightly
from shown import metrics_of

from experiments.ebm import measure_samples, train
from experiments.ebm.config import PRESETS
from experiments.ebm.densities import DENSITIES, LIMITS
from experiments.ebm.methods import ladder_of, methods
from jaxgen import ebm

SMALL = PRESETS["smoke"]


@pytest.mark.slow
def test_a_run_leaves_its_report(finished):
    metrics = metrics_of(
        finished,
        ("nats by recovery likelihood", "by annealed importance sampling", "has no integral"),
        "landscapes.png misfits.png samples.png divergences.png costs.png drifts.png",
    )
    assert len(metrics["landscapes"]) == 8
    assert len(metrics["samples"]) == 10


@nightly("name", DENSITIES)
def test_a_density_is_normalised_and_its_draws_have_it(name):
    """By quadrature; and the counts of draws in the quarters of the plane and within a circle agree with it."""
    density = DENSITIES[name]()
    found = ebm.plane_density(lambda x: -density.log_density(x), *LIMITS, cells=150)
    np.testing.assert_allclose(found.log_normalizer, 0, atol=1e-3)
    n = 20_000
    x, p = np.asarray(density.sample(jax.random.key(0), (n, 2))), np.exp(found.log_density) * found.cell_area
    for region in (lambda x: x[..., 0] > 0, lambda x: x[..., 1] > 0.5, lambda x: np.hypot(x[..., 0], x[..., 1]) < 1.5):
        share = float(p[region(np.asarray(found.points))].sum())
        assert abs(region(x).mean() - share) < 5 * np.sqrt(share * (1 - share) / n) + 2e-3


@pytest.mark.slow
def test_seeds_train_side_by_side_as_they_would_alone():
    """The loss of two seeds is that of each on its own part, and so is its gradient, halved by the mean."""
    method = methods(SMALL)["dsm"]
    params = jax.vmap(method.initial)(jax.random.split(jax.random.key(0), 2))
    params = jax.tree.map(lambda p: p + 0.1, params)
    x, key = jax.random.normal(jax.random.key(1), (8, 2)), jax.random.key(2)
    of_both = lambda params: train.loss_of(method, 2)(key, params, (x,))[0].mean()
    gradient = jax.grad(of_both)(params)
    of_one = jax.grad(lambda params, key, x: method.loss(key, params, x)[0].mean())
    alone = jax.vmap(of_one)(params, jax.random.split(key), x.reshape(2, 4, 2))
    for found, exact in zip(jax.tree.leaves(gradient), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(2 * found, exact, rtol=1e-4, atol=1e-5)


def test_the_distance_is_one_for_draws_and_more_for_others():
    distance = measure_samples.Distance("ring", 400, 0)
    again = np.asarray(DENSITIES["ring"]().sample(jax.random.key(77), (400, 2)))
    assert 0.6 < distance(again) < 1.7
    assert distance(again + 0.5) > 2
    assert distance(again * np.nan) == float("inf")


def test_steps_of_the_ladder_are_shorter_than_its_noise():
    ladder = ladder_of(PRESETS["default"])
    assert (np.asarray(ladder.step_sizes) < np.array(PRESETS["default"].betas)).all()
    assert (np.asarray(ladder.step_sizes) > 0.01).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 3}, "--batch-size must be a multiple of --seeds 3"),
        ({"buffer": 4}, "--buffer must be at least 8 the batch of a seed"),
        ({"sigma": 0.0}, r"--sigma must lie in \(0, 1\)"),
        ({"betas": (0.5, 1.0)}, r"--betas must lie in \(0, 1\)"),
        ({"reinitialise": 2.0}, "--reinitialise is a probability"),
        ({"samples": 10}, "--samples must be at least 100 for a distance"),
    ],
)
def test_flags_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)

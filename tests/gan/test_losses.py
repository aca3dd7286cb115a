"""Adversarial losses against their formulas, gradients and best critics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_expit

from jaxgen.gan import hinge, least_squares, minimax, non_saturating, relativistic_pairing, wasserstein

REAL, FAKE = np.array([-3.0, -0.4, 0.3, 2.5, 40.0]), np.array([1.7, -2.2, 0.1, -0.8, -40.0])
ONE = np.ones(5)

# losses of (real, fake) and their slopes with respect to both: critic, generator
FORMULAS = {
    "minimax": (
        minimax(),
        lambda r, f: (-log_expit(r) - log_expit(-f), -expit(-r), expit(f)),
        lambda r, f: (log_expit(-f), 0 * r, -expit(f)),
    ),
    "non_saturating": (
        non_saturating(),
        lambda r, f: (-log_expit(r) - log_expit(-f), -expit(-r), expit(f)),
        lambda r, f: (-log_expit(f), 0 * r, -expit(-f)),
    ),
    "hinge": (
        hinge(),
        lambda r, f: (np.maximum(0, 1 - r) + np.maximum(0, 1 + f), -1.0 * (r < 1), 1.0 * (f > -1)),
        lambda r, f: (-f, 0 * r, -ONE),
    ),
    "least_squares": (
        least_squares(-1, 1, 0),
        lambda r, f: ((r - 1) ** 2 / 2 + (f + 1) ** 2 / 2, r - 1, f + 1),
        lambda r, f: (f**2 / 2, 0 * r, f),
    ),
    "wasserstein": (wasserstein(), lambda r, f: (f - r, -ONE, ONE), lambda r, f: (-f, 0 * r, -ONE)),
    "relativistic_pairing": (
        relativistic_pairing(),
        lambda r, f: (-log_expit(r - f), -expit(f - r), expit(f - r)),
        lambda r, f: (-log_expit(f - r), expit(r - f), -expit(r - f)),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_gradients_are_those_of_the_formula(name):
    loss, *formulas = FORMULAS[name]
    with jax.enable_x64(True):
        real, fake = jnp.asarray(REAL), jnp.asarray(FAKE)
        for player, formula in zip(loss, formulas, strict=True):
            value, pull_back = jax.vjp(player, real, fake)
            found = value, *pull_back(jnp.ones(5))
            for ours, expected in zip(found, formula(REAL, FAKE), strict=True):
                np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-17)


def test_the_default_least_squares_have_targets_of_0_and_1():
    real, fake = jnp.array([1.0, 3.0]), jnp.array([0.0, 3.0])
    np.testing.assert_allclose(least_squares().critic(real, fake), [0, 4 / 2 + 9 / 2])
    np.testing.assert_allclose(least_squares().generator(real, fake + 1), [0, 9 / 2])


GRID = jnp.linspace(-5, 5, 10_001)
BEST = {  # the logit that minimises p·loss(real) + q·loss(fake) at a point of densities p and q
    "minimax": lambda p, q: np.log(p / q),
    "hinge": lambda p, q: np.sign(p - q),
    "least_squares": lambda p, q: (p - q) / (p + q),
}


@pytest.mark.parametrize("name", BEST)
def test_the_best_critic_at_a_point_is_the_known_function_of_the_densities(name):
    critic = FORMULAS[name][0].critic
    for p, q in ((0.3, 0.1), (0.2, 0.5)):
        # the loss is a sum of a real and a fake part; at 0 each has a known constant
        on_real, on_fake = (critic(GRID, 0 * GRID), critic(0 * GRID, GRID))
        assert abs(GRID[jnp.argmin(p * on_real + q * on_fake)] - BEST[name](p, q)) < 2e-3


@pytest.mark.parametrize("shapes", [((4, 1), (4, 1)), ((4,), (5,)), ((), ())])
def test_logits_that_are_not_one_per_example_are_refused(shapes, unchecked):
    real, fake = map(jnp.ones, shapes)
    for player in hinge():
        with pytest.raises(ValueError, match="squeeze the last axis of a network with one output"):
            player(real, fake)

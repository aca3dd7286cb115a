"""Linear games, whose updates are matrices and whose flow is a matrix exponential."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from jaxgen.gan import (
    Players,
    alternating,
    consensus_field,
    eigenvalues,
    game_field,
    gradient_flow,
    jacobian,
    simultaneous,
    trajectory,
)

RNG = np.random.default_rng(0)
# L_G = ½ θᵀAθ + θᵀBψ and L_D = ½ ψᵀDψ − θᵀBψ + cᵀψ: two parameters of the generator, three of the critic
A, D = np.diag([0.5, 0.1]), np.diag([0.3, 0.2, 0.8])
B, C = RNG.normal(size=(2, 3)), RNG.normal(size=3)
MATRIX = -np.block([[A, B], [-B.T, D]])
OFFSET = np.concatenate([np.zeros(2), -C])
START = RNG.normal(size=5)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def generator_loss(generator, critic):
    theta, psi = generator["w"], jnp.append(*critic)
    return 0.5 * theta @ A @ theta + theta @ B @ psi


def critic_loss(generator, critic):
    theta, psi = generator["w"], jnp.append(*critic)
    return 0.5 * psi @ D @ psi - theta @ B @ psi + C @ psi


FIELD = game_field(generator_loss, critic_loss)


def players(flat):
    return Players({"w": jnp.asarray(flat[:2])}, (jnp.asarray(flat[2:4]), jnp.asarray(flat[4])))


def flat(players):
    return np.concatenate([players.generator["w"], players.critic[0], np.expand_dims(players.critic[1], -1)], -1)


def test_the_field_and_its_jacobian_are_those_of_the_matrix():
    np.testing.assert_allclose(flat(FIELD(players(START))), MATRIX @ START + OFFSET, rtol=1e-12)
    np.testing.assert_allclose(jacobian(FIELD, players(START)), MATRIX, atol=1e-12)
    expected = np.sort_complex(np.linalg.eigvals(MATRIX))
    np.testing.assert_allclose(eigenvalues(FIELD, players(START)), expected, atol=1e-12)
    with pytest.raises(ValueError, match="not finite at this point"):
        eigenvalues(lambda p: jax.tree.map(jnp.sqrt, p), players(np.zeros(5)))


def move(rows, size):
    """The affine map of one step of a player, on (w, 1)."""
    step = np.eye(6)
    step[rows] += size * np.hstack([MATRIX, OFFSET[:, None]])[rows]
    return step


@pytest.mark.parametrize("steps", [(1, 1), (2, 3)])
@pytest.mark.parametrize("order", ["simultaneous", "generator", "critic"])
def test_updates_are_powers_of_a_matrix(order, steps):
    sizes = Players(0.1, 0.2)
    generator, critic = (
        np.linalg.matrix_power(move(rows, size), n)
        for rows, size, n in zip((slice(0, 2), slice(2, 5)), sizes, steps, strict=True)
    )
    expected = {
        "simultaneous": np.vstack([generator[:2], critic[2:]]),
        "generator": critic @ generator,
        "critic": generator @ critic,
    }[order]
    counts = {"generator_steps": steps[0], "critic_steps": steps[1]}
    if order == "simultaneous":
        update = simultaneous(FIELD, sizes, **counts)
    else:
        update = alternating(FIELD, sizes, first=order, **counts)
    np.testing.assert_allclose(jacobian(update, players(START)), expected[:5, :5], atol=1e-12)
    path = flat(jax.jit(lambda start: trajectory(update, start, 7))(players(START)))
    exact = [(np.linalg.matrix_power(expected, n) @ np.append(START, 1))[:5] for n in range(8)]
    np.testing.assert_allclose(path, exact, rtol=1e-10)


@pytest.mark.slow
def test_the_flow_is_the_matrix_exponential():
    homogeneous = np.vstack([np.hstack([MATRIX, OFFSET[:, None]]), np.zeros(6)])
    starts, times = np.stack([START, -START, 2 * START]), np.array([0.0, 0.5, 2.0])
    batch = jax.vmap(players)(starts)
    found = flat(gradient_flow(FIELD, batch, times))
    exact = [[(expm(homogeneous * t) @ np.append(start, 1))[:5] for start in starts] for t in times]
    np.testing.assert_allclose(found, exact, atol=2e-4)


def test_consensus_adds_the_gradient_of_half_the_squared_velocity():
    found = flat(consensus_field(FIELD, 0.3)(players(START)))
    velocity = MATRIX @ START + OFFSET
    np.testing.assert_allclose(found, velocity - 0.3 * MATRIX.T @ velocity, rtol=1e-12)


def test_arguments_out_of_range_are_refused():
    for make in (simultaneous, alternating):
        with pytest.raises(ValueError, match="step size of the generator must be positive"):
            make(FIELD, 0.0)
        with pytest.raises(ValueError, match="critic_steps must be at least 1"):
            make(FIELD, 0.1, critic_steps=0)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        trajectory(simultaneous(FIELD, 0.1), players(START), 0)
    with pytest.raises(ValueError, match="gamma must be finite and not negative"):
        consensus_field(FIELD, -1.0)
    with pytest.raises(ValueError, match=r"times must have shape \(T,\)"):
        gradient_flow(FIELD, jax.vmap(players)(START[None]), np.array([1.0]))


def test_an_unknown_order_is_refused(unchecked):
    with pytest.raises(ValueError, match="first must be 'generator' or 'critic', got 'both'"):
        alternating(FIELD, 0.1, first="both")

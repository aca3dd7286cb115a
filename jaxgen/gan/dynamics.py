"""Games as vector fields: gradient descent of two players, its linearisation, and its continuous flow."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float, PyTree

from jaxgen.core import check_at_least, check_not_negative, check_positive, integrate

PlayerLoss = Callable[[PyTree, PyTree], Array]
"""(generator, critic) -> loss (), always in this order."""


class Players(NamedTuple):
    """The parameters of both players, each any pytree; also their velocities and step sizes."""

    generator: Any
    critic: Any


Field = Callable[[Players], Players]
"""The velocity of both players, of the structure of the players."""

Update = Callable[[Players], Players]
"""One step of both players."""


def game_field(generator_loss: PlayerLoss, critic_loss: PlayerLoss) -> Field:
    """The vector field of a game, v = (−∇_θ L_G(θ, ψ), −∇_ψ L_D(θ, ψ)): each player descends its own loss.

    Args:
        generator_loss: L_G, a function (generator, critic) -> ().
        critic_loss: L_D, a function (generator, critic) -> (). Both take the generator first.

    Returns:
        The vector field.

    Reference:
        Mescheder et al. 2017, "The numerics of GANs", eq. 3.

    Example:
        >>> field = gan.game_field(lambda θ, ψ: θ * ψ, lambda θ, ψ: -θ * ψ)  # a rotation
    """

    def field(players: Players) -> Players:
        descend = lambda gradient: jax.tree.map(jnp.negative, gradient)  # noqa: E731
        generator, critic = jax.tree.map(jnp.asarray, players)
        return Players(
            descend(jax.grad(generator_loss, 0)(generator, critic)),
            descend(jax.grad(critic_loss, 1)(generator, critic)),
        )

    return field


def consensus_field(field: Field, gamma: ArrayLike) -> Field:
    """Consensus optimisation of a game, v − γ ∇½‖v‖².

    Args:
        field: v, the vector field of the game.
        gamma: strength γ ≥ 0, (). It may be traced.

    Returns:
        The vector field with the attraction to its zeros.

    Raises:
        ValueError: if a concrete gamma is negative or not finite.

    Reference:
        Mescheder et al. 2017, "The numerics of GANs", eq. 11.
    """
    check_not_negative(gamma=gamma)

    def attracted(players: Players) -> Players:
        velocity, pull_back = jax.vjp(field, players)
        (gradient,) = pull_back(velocity)  # ∇½‖v‖² = (∂v/∂w)ᵀ v
        return jax.tree.map(lambda v, g: v - gamma * g, velocity, gradient)

    return attracted


def simultaneous(
    field: Field, step_size: ArrayLike | Players, *, generator_steps: int = 1, critic_steps: int = 1
) -> Update:
    """Gradient steps of each player against the other as it was before.

    Args:
        field: the vector field of the game.
        step_size: step size h > 0, (), or that of each player.
        generator_steps: steps of the generator, at least 1.
        critic_steps: steps of the critic, at least 1.

    Returns:
        The map from the players to the players after their steps.

    Raises:
        ValueError: if a number of steps is below 1, or a concrete step size is not positive and finite.

    Reference:
        Mescheder et al. 2018, "Which training methods for GANs do actually converge?", algorithm 1.
    """
    move = _moves(field, step_size, generator_steps, critic_steps)

    def update(players: Players) -> Players:
        return Players(move.generator(players).generator, move.critic(players).critic)

    return update


def alternating(
    field: Field,
    step_size: ArrayLike | Players,
    *,
    generator_steps: int = 1,
    critic_steps: int = 1,
    first: Literal["generator", "critic"] = "generator",
) -> Update:
    """Gradient steps of one player, and then those of the other against it as it has become.

    Args:
        field: the vector field of the game.
        step_size: step size h > 0, (), or that of each player.
        generator_steps: steps of the generator, at least 1.
        critic_steps: steps of the critic, at least 1.
        first: the player that moves first. Both orders have the same eigenvalues.

    Returns:
        The map from the players to the players after their steps.

    Raises:
        ValueError: if a number of steps is below 1, the first player is unknown, or a concrete step size is not
            positive and finite.

    Reference:
        Mescheder et al. 2018, "Which training methods for GANs do actually converge?", algorithm 2.
    """
    if first not in get_args(Literal["generator", "critic"]):
        raise ValueError(f"first must be 'generator' or 'critic', got {first!r}")
    move = _moves(field, step_size, generator_steps, critic_steps)
    one, other = move if first == "generator" else move[::-1]
    return lambda players: other(one(players))


def _moves(field: Field, step_size: ArrayLike | Players, generator_steps: int, critic_steps: int) -> Players:
    """For each player the map of all its steps, which leaves the other player as it is."""
    check_at_least(1, generator_steps=generator_steps, critic_steps=critic_steps)
    sizes = step_size if isinstance(step_size, Players) else Players(step_size, step_size)
    check_positive(**{f"step size of the {name}": size for name, size in sizes._asdict().items()})

    def moves(player: str, steps: int) -> Update:
        def step(players: Players) -> Players:
            moved = jax.tree.map(
                lambda x, v: x + jnp.asarray(getattr(sizes, player), v.dtype) * v,
                getattr(players, player),
                getattr(field(players), player),
            )
            return players._replace(**{player: moved})

        if steps == 1:
            return step
        return lambda players: jax.lax.fori_loop(0, steps, lambda _, players: step(players), players)

    return Players(moves("generator", generator_steps), moves("critic", critic_steps))


def trajectory(update: Update, start: Players, steps: int) -> Players:
    """The players after 0, 1, …, steps updates, by one scan.

    Args:
        update: the update of both players, by `simultaneous` or `alternating`.
        start: the players at the start. For many starts, use `jax.vmap`.
        steps: number of updates, at least 1.

    Returns:
        The players, each array with a new first axis of steps + 1.

    Raises:
        ValueError: if steps < 1.

    Example:
        >>> path = gan.trajectory(gan.alternating(gan.dirac_gan(), 0.2), gan.Players(1.0, 0.0), 500)
    """
    check_at_least(1, steps=steps)
    start = jax.tree.map(jnp.asarray, start)

    def step(players: Players, _: None) -> tuple[Players, Players]:
        moved = update(players)
        return moved, moved

    _, path = jax.lax.scan(step, start, length=steps)
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), start, path)


def gradient_flow(field: Field, start: Players, times: Float[ArrayLike, " t"], **options: Any) -> Players:
    """The continuous flow dw/dt = v(w) of many starts, at the given times.

    Args:
        field: the vector field of one game.
        start: the players at times[0], each array with a first axis of B starts.
        times: times (T,), ascending or descending, T ≥ 2.
        **options: those of `core.integrate`: solver, controller, per_sample, max_steps between two times, …

    Returns:
        The players, arrays (T, B, ...).

    Raises:
        ValueError: if times are not (T,) with T ≥ 2; and as `core.integrate` does.
        RuntimeError: as `core.integrate` does.
    """
    start = jax.tree.map(jnp.asarray, start)
    times = jnp.asarray(times, jnp.result_type(*jax.tree.leaves(start)))
    if times.ndim != 1 or len(times) < 2:
        raise ValueError(f"times must have shape (T,) with T ≥ 2, got {times.shape}: pass [0, t] for the state at t")

    def advance(players: Players, interval: Array) -> tuple[Players, Players]:
        moved = integrate(lambda t, y, args: jax.vmap(field)(y), players, *interval, **options).y
        return moved, moved

    _, path = jax.lax.scan(advance, start, jnp.stack([times[:-1], times[1:]], 1))
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), start, path)


def jacobian(of: Field | Update, players: Players) -> Float[Array, "d d"]:
    """The Jacobian of a vector field or of an update at a point, over the players' d parameters.

    Args:
        of: the field or the update.
        players: the point. Its parameters are numbered as by `jax.flatten_util.ravel_pytree`, the generator's first.

    Returns:
        The matrix (d, d), whose row i is the gradient of output i.
    """
    flat, unravel = ravel_pytree(jax.tree.map(jnp.asarray, players))
    return jax.jacfwd(lambda flat: ravel_pytree(of(unravel(flat)))[0])(flat)


def eigenvalues(of: Field | Update, players: Players) -> Complex[np.ndarray, " d"]:
    """The eigenvalues of the Jacobian of a vector field or of an update at a point.

    A fixed point of the flow attracts if all real parts of its field's eigenvalues are negative, and one of an update
    if all moduli of its eigenvalues are below 1. numpy computes them, so that nothing may be traced.

    Args:
        of: the field or the update.
        players: the point. Its parameters should be float64 where digits count.

    Returns:
        The complex eigenvalues (d,), in ascending order of their real and then imaginary parts.

    Raises:
        ValueError: if the Jacobian is not finite at the point.
    """
    matrix = np.asarray(jacobian(of, players))
    if not np.isfinite(matrix).all():
        raise ValueError("the Jacobian is not finite at this point: move to one where the field is differentiable")
    return np.sort_complex(np.linalg.eigvals(matrix))

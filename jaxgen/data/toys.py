"""Two-dimensional toy distributions, centred on the origin: (key, n) -> samples (n, 2).

In all of them `n` is the number of samples, at least 1 and static under jit, and `noise` the standard deviation of
Gaussian noise added to both coordinates. Without noise all but `checkerboard` lie on curves and have no density in the
plane: the manifold problem of score matching (Song & Ermon 2019, §3.1). Scales and noise may be traced.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import check_at_least, check_not_negative, check_positive


def ring(key: Key[Array, ""], n: int, *, radius: ArrayLike = 1.0, noise: ArrayLike = 0.0) -> Float[Array, "n 2"]:
    """Sample a circle about the origin, uniform in angle.

    Args:
        key: one key.
        n: number of samples ≥ 1.
        radius: radius > 0.
        noise: standard deviation ≥ 0.

    Returns:
        Samples (n, 2).

    Raises:
        ValueError: if n < 1, or a concrete radius or noise is out of range or not finite.
    """
    _check(n, noise, radius=radius)
    curve_key, noise_key = jax.random.split(key)
    return _noised(noise_key, _polar(radius, 2 * jnp.pi * jax.random.uniform(curve_key, (n,))), noise)


def moons(key: Key[Array, ""], n: int, *, scale: ArrayLike = 1.0, noise: ArrayLike = 0.0) -> Float[Array, "n 2"]:
    """Sample two interleaved half circles of radius `scale`, equally likely and uniform in angle.

    They are the upper half of the circle about (−.5, −.25)·scale and the lower half of the one about (.5, .25)·scale:
    scikit-learn's moons, moved to the origin.

    Args:
        key: one key.
        n: number of samples ≥ 1.
        scale: radius > 0 of the half circles.
        noise: standard deviation ≥ 0.

    Returns:
        Samples (n, 2).

    Raises:
        ValueError: if n < 1, or a concrete scale or noise is out of range or not finite.
    """
    _check(n, noise, scale=scale)
    angle_key, side_key, noise_key = jax.random.split(key, 3)
    side = 1 - 2 * jax.random.bernoulli(side_key, shape=(n,)).astype(float)
    upper = _polar(1, jnp.pi * jax.random.uniform(angle_key, (n,))) - jnp.array([0.5, 0.25])
    return _noised(noise_key, scale * side[:, None] * upper, noise)


def checkerboard(
    key: Key[Array, ""], n: int, *, cells: int = 4, scale: ArrayLike = 2.0, noise: ArrayLike = 0.0
) -> Float[Array, "n 2"]:
    """Sample the dark squares of a board of `cells` × `cells` squares on [−scale, scale]², uniformly.

    Square (i, j), counted along x and y from the lower left, is dark if i + j is even. The density there is
    1/(2 scale²).

    Args:
        key: one key.
        n: number of samples ≥ 1.
        cells: number of squares along a side, even and ≥ 2.
        scale: half the side of the board, > 0.
        noise: standard deviation ≥ 0.

    Returns:
        Samples (n, 2).

    Raises:
        ValueError: if n < 1, cells is odd or below 2, or a concrete scale or noise is out of range or not finite.
    """
    _check(n, noise, scale=scale)
    if cells < 2 or cells % 2:
        raise ValueError(f"cells must be even and positive, got {cells}: half of the squares are dark")
    row_key, column_key, place_key, noise_key = jax.random.split(key, 4)
    row = jax.random.randint(row_key, (n,), 0, cells)
    column = 2 * jax.random.randint(column_key, (n,), 0, cells // 2) + row % 2
    place = jnp.stack([column, row], -1) + jax.random.uniform(place_key, (n, 2))
    return _noised(noise_key, scale * (2 * place / cells - 1), noise)


def spirals(
    key: Key[Array, ""],
    n: int,
    *,
    arms: int = 2,
    turns: ArrayLike = 1.5,
    scale: ArrayLike = 1.0,
    noise: ArrayLike = 0.0,
) -> Float[Array, "n 2"]:
    """Sample Archimedean spirals r = scale·θ/(2π·turns), 0 ≤ r ≤ scale, one per arm, rotated by 2π/arms each.

    r²/scale² is uniform, so that points lie about evenly along the curve.

    Args:
        key: one key.
        n: number of samples ≥ 1.
        arms: number of spirals ≥ 1.
        turns: turns > 0 of a spiral.
        scale: radius > 0 of its outer end.
        noise: standard deviation ≥ 0.

    Returns:
        Samples (n, 2).

    Raises:
        ValueError: if n or arms is below 1, or concrete turns, scale or noise are out of range or not finite.
    """
    _check(n, noise, turns=turns, scale=scale)
    check_at_least(1, arms=arms)
    radius_key, arm_key, noise_key = jax.random.split(key, 3)
    share = jnp.sqrt(jax.random.uniform(radius_key, (n,)))
    start = jax.random.randint(arm_key, (n,), 0, arms) / arms
    return _noised(noise_key, _polar(scale * share, 2 * jnp.pi * (turns * share + start)), noise)


def swiss_roll(key: Key[Array, ""], n: int, *, scale: ArrayLike = 1.0, noise: ArrayLike = 0.0) -> Float[Array, "n 2"]:
    """Sample the spiral r = scale·θ/(4.5π), θ uniform in [1.5π, 4.5π]: scikit-learn's Swiss roll seen from its end.

    Args:
        key: one key.
        n: number of samples ≥ 1.
        scale: radius > 0 of the outer end.
        noise: standard deviation ≥ 0.

    Returns:
        Samples (n, 2).

    Raises:
        ValueError: if n < 1, or a concrete scale or noise is out of range or not finite.
    """
    _check(n, noise, scale=scale)
    angle_key, noise_key = jax.random.split(key)
    share = (1 + 2 * jax.random.uniform(angle_key, (n,))) / 3
    return _noised(noise_key, _polar(scale * share, 4.5 * jnp.pi * share), noise)


def _polar(radius: ArrayLike, angle: Float[Array, " n"]) -> Float[Array, "n 2"]:
    return jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)], -1)


def _noised(key: Key[Array, ""], x: Float[Array, "n 2"], noise: ArrayLike) -> Float[Array, "n 2"]:
    return x + noise * jax.random.normal(key, x.shape, x.dtype)


def _check(n: int, noise: ArrayLike, **positive: ArrayLike) -> None:
    check_at_least(1, n=n)
    check_positive(**positive)
    check_not_negative(noise=noise)

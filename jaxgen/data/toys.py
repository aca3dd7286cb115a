"""Two-dimensional toy distributions, centred on the origin: (key, n) -> samples (n, 2).

In all of them `n` is the number of samples, at least 1 and static under jit, and `noise` the standard deviation of
Gaussian noise added to both coordinates. Without noise all but `checkerboard` lie on curves and have no density in the
plane: the manifold problem of score matching (Song & Ermon 2019, §3.1). Scales and noise may be traced. All raise a
ValueError for n below 1, negative noise, or scales that are not positive.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key


def ring(key: Key[Array, ""], n: int, *, radius: ArrayLike = 1.0, noise: ArrayLike = 0.0) -> Float[Array, "n 2"]:
    """Sample a circle about the origin, uniform in angle."""
    _check(n, noise, radius=radius)
    curve_key, noise_key = jax.random.split(key)
    return _noised(noise_key, _polar(radius, 2 * jnp.pi * jax.random.uniform(curve_key, (n,))), noise)


def moons(key: Key[Array, ""], n: int, *, scale: ArrayLike = 1.0, noise: ArrayLike = 0.0) -> Float[Array, "n 2"]:
    """Sample two interleaved half circles of radius `scale`, equally likely and uniform in angle.

    They are the upper half of the circle about (−.5, −.25)·scale and the lower half of the one about (.5, .25)·scale:
    scikit-learn's moons, moved to the origin.
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

    `cells` is even. Square (i, j), counted along x and y from the lower left, is dark if i + j is even. The density
    there is 1/(2 scale²).
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
    """
    _check(n, noise, turns=turns, scale=scale)
    if arms < 1:
        raise ValueError(f"need at least one arm, got arms={arms}")
    radius_key, arm_key, noise_key = jax.random.split(key, 3)
    share = jnp.sqrt(jax.random.uniform(radius_key, (n,)))
    start = jax.random.randint(arm_key, (n,), 0, arms) / arms
    return _noised(noise_key, _polar(scale * share, 2 * jnp.pi * (turns * share + start)), noise)


def swiss_roll(key: Key[Array, ""], n: int, *, scale: ArrayLike = 1.0, noise: ArrayLike = 0.0) -> Float[Array, "n 2"]:
    """Sample the spiral r = scale·θ/(4.5π), θ uniform in [1.5π, 4.5π]: scikit-learn's Swiss roll seen from its end."""
    _check(n, noise, scale=scale)
    angle_key, noise_key = jax.random.split(key)
    share = (1 + 2 * jax.random.uniform(angle_key, (n,))) / 3
    return _noised(noise_key, _polar(scale * share, 4.5 * jnp.pi * share), noise)


def _polar(radius: ArrayLike, angle: Float[Array, " n"]) -> Float[Array, "n 2"]:
    return jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)], -1)


def _noised(key: Key[Array, ""], x: Float[Array, "n 2"], noise: ArrayLike) -> Float[Array, "n 2"]:
    return x + noise * jax.random.normal(key, x.shape, x.dtype)


def _check(n: int, noise: ArrayLike, **positive: ArrayLike) -> None:
    """Refuse values out of range, unless they are traced."""
    if n < 1:
        raise ValueError(f"need at least one point, got n={n}")
    known = {name: value for name, value in positive.items() if not isinstance(value, jax.core.Tracer)}
    if not all(0 < np.asarray(value) < np.inf for value in known.values()):
        raise ValueError(f"{', '.join(known)} must be positive and finite, got {', '.join(map(str, known.values()))}")
    if not isinstance(noise, jax.core.Tracer) and not 0 <= np.asarray(noise) < np.inf:
        raise ValueError(f"noise must be finite and not negative, got {noise}")

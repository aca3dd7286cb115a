"""The techniques of NCSNv2 (Song & Ermon 2020): noise levels, Langevin step size, and a network without time.

The noise levels σ_1 > … > σ_L are geometric, with ratio γ = σ_i/σ_{i+1}. They are the process `ve` at L times:

    sigma_1 = max_pairwise_distance(x0)
    n = num_noise_levels(sigma_1, sigma_L, overlap_ratio(dims))
    process = ve(sigma_L, sigma_1)
    score = sigma_scaled_score(process, network)
    denoising_loss(key, process, score, x0, predicts="score", weighting=weighting.simple(), times=noise_level_times(n))

    sampler = annealed_langevin(step_size(sigma_1, sigma_L, n, steps), sigma_L, steps, final_denoising=True)
    grid = noise_grid(process, geometric_sigmas(sigma_1, sigma_L, n))
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import check_at_least, check_floating, per_example, safe_divide
from jaxgen.diffusion.denoisers._denoiser import Network
from jaxgen.diffusion.processes.process import GaussianProcess
from jaxgen.diffusion.times import TimeSampler


def max_pairwise_distance(
    x: Float[Array | np.ndarray, "n *event"],
    *,
    subset: int | None = None,
    key: Key[Array, ""] | None = None,
    block: int = 1024,
) -> Float[Array, ""]:
    """Largest Euclidean distance between two examples, which is σ_1 (technique 1).

    With so much noise, Langevin dynamics can move from any example to any other. The time is O(N² D). Pairs are visited
    in tiles of block × block, so the memory beyond that of x is that of a tile.

    Args:
        x: examples (N, *event), N ≥ 2, floating point and scaled as the network sees them.
        subset: number ≥ 2 of random examples to compare; the default is all.
        key: key of the subset.
        block: side ≥ 1 of a tile.

    Returns:
        The distance, in float32 or wider. It is not finite if x is not, or if it exceeds the range of the type.
        Distances below the smallest normal number (1.2e-38 in float32) may give 0.

    Raises:
        ValueError: if x is not floating point or has fewer than two examples, block < 1, subset < 2, or a subset has no
            key.
    """
    check_floating(x)
    if len(x) < 2 or block < 1 or (subset is not None and subset < 2):
        raise ValueError(f"need two examples and block >= 1, got {len(x)} of them, subset={subset} and block={block}")
    points = jnp.asarray(x).reshape(len(x), -1)
    if subset is not None and subset < len(points):
        if key is None:
            raise ValueError(f"subset={subset} of {len(points)} examples is drawn at random: give a key")
        points = points[jax.random.choice(key, len(points), (subset,), replace=False)]
    n, block = len(points), min(block, len(points))
    wide = jnp.promote_types(points.dtype, jnp.float32)
    # No point is farther from the first one than the largest distance. Relative to the first point, coordinates
    # overflow only if the distance does, and ‖a‖² + ‖b‖² − 2a·b rounds in proportion to it.
    origin = points[0].astype(wide)
    reach = jnp.abs(points.astype(wide) - origin).max()
    # A unit of about that distance keeps squares in range; a power of 2 with a normal reciprocal loses no digits.
    smallest = jnp.finfo(wide).minexp
    unit = jnp.ldexp(jnp.ones((), wide), jnp.clip(jnp.frexp(reach)[1] - 1, smallest, -smallest))
    # The last tile overlaps the one before; visiting a pair twice is harmless.
    starts = np.minimum(np.arange(0, n, block), n - block)

    def tile(start: Array) -> Array:
        return (jax.lax.dynamic_slice_in_dim(points, start, block).astype(wide) - origin) / unit

    def visit(best: tuple[Array, ...], corner: Array) -> tuple[tuple[Array, ...], None]:
        a, b = tile(corner[0]), tile(corner[1])
        products = jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
        squares = jnp.sum(a**2, -1)[:, None] + jnp.sum(b**2, -1) - 2 * products
        row, column = jnp.divmod(jnp.argmax(squares), block)
        found = squares[row, column], corner[0] + row, corner[1] + column
        return jax.tree.map(lambda new, old: jnp.where(found[0] > best[0], new, old), found, best), None

    pairs = np.stack([starts[index] for index in np.triu_indices(len(starts))], -1)
    first = jnp.asarray(-1, wide), jnp.asarray(0), jnp.asarray(0)
    (_, i, j), _ = jax.lax.scan(visit, first, jnp.asarray(pairs))
    distance = unit * jnp.linalg.norm((points[i].astype(wide) - points[j].astype(wide)) / unit)
    return jnp.where(jnp.isfinite(reach), distance, jnp.nan)


def overlap_ratio(dims: int, overlap: float = 0.5) -> float:
    """Ratio γ of neighbouring levels for which Φ(√(2D)(γ−1)+3γ) − Φ(√(2D)(γ−1)−3γ) = overlap (technique 2).

    The radius of N(0, σ² I) in D dimensions is about N(√D σ, σ²/2). The left side is the share of a level's radii that
    lie within three standard deviations of those of the previous level. Φ is the standard normal distribution function.

    Args:
        dims: D ≥ 5; in fewer dimensions levels of any ratio overlap by more.
        overlap: the share, in (0, 0.99].

    Returns:
        γ > 1.

    Raises:
        ValueError: unless dims ≥ 5 and 0 < overlap ≤ 0.99.
    """
    if dims < 5 or not 0 < overlap <= 0.99:
        raise ValueError(
            f"need dims >= 5 and 0 < overlap <= 0.99, got {dims} and {overlap}: in fewer dimensions neighbouring "
            "levels overlap whatever their ratio, so choose one by hand"
        )
    width = math.sqrt(2 * dims)

    def overlap_at(gamma: float) -> float:
        low, high = (width * (gamma - 1) + side * gamma for side in (-3, 3))
        return 0.5 * (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2)))

    # the overlap increases slightly from Φ(3) − Φ(−3) = .9973 at γ = 1, then decreases to 0, so there is one root
    return _bisect(lambda gamma: overlap_at(gamma) - overlap, 1.0, (40 + width) / (width - 3))


def num_noise_levels(sigma_first: ArrayLike, sigma_last: ArrayLike, ratio: ArrayLike) -> int:
    """Smallest number of geometric levels with a ratio of at most γ, 1 + ⌈ln(σ_1/σ_L)/ln γ⌉ (technique 2).

    Args:
        sigma_first: σ_1, the largest level.
        sigma_last: σ_L, the smallest level, in (0, σ_1).
        ratio: γ > 1.

    Returns:
        The number of levels, ≥ 2.

    Raises:
        ValueError: unless 0 < sigma_last < sigma_first < ∞ and 1 < ratio < ∞.
    """
    span = _log_span(sigma_first, sigma_last)
    if not 1 < ratio < math.inf:
        raise ValueError(f"the ratio of neighbouring levels must be above 1, got {ratio}")
    return 1 + math.ceil(span / math.log(float(ratio)) * (1 - 1e-9))  # rounding must not add a level


def geometric_sigmas(sigma_first: ArrayLike, sigma_last: ArrayLike, n: int) -> Float[np.ndarray, " n"]:
    """Levels in geometric progression from σ_1 down to σ_L (technique 2).

    Args:
        sigma_first: σ_1, the largest level.
        sigma_last: σ_L, the smallest level, in (0, σ_1).
        n: number of levels ≥ 2.

    Returns:
        The levels (n,), in float64.

    Raises:
        ValueError: unless 0 < sigma_last < sigma_first < ∞ and n ≥ 2.
    """
    _log_span(sigma_first, sigma_last, n)
    return np.geomspace(float(sigma_first), float(sigma_last), n)


def noise_level_times(n: int) -> TimeSampler:
    """Training times at which `ve` has the levels of `geometric_sigmas`, drawn uniformly: t = i/(n−1).

    t = 0 is the last level, sigma_min of `ve`, and t = 1 the first.

    Args:
        n: number of levels ≥ 2.

    Returns:
        A sampler (key, B) -> t (B,).

    Raises:
        ValueError: if n < 2.
    """
    check_at_least(2, n=n)
    return lambda key, b: jax.random.randint(key, (b,), 0, n) / (n - 1)


def variance_ratio(
    step_size: ArrayLike, sigma_last: ArrayLike, ratio: ArrayLike, steps: int
) -> Float[np.ndarray | np.floating, "..."]:
    """Variance of x, over σ_i², after the T Langevin steps of one level, started at the previous level.

    For data at one point it is (1 − u)^{2T} (γ² − q) + q with u = ε/2σ_L² and q = 1/(1 − u/2); the exact dynamics would
    give 1.

    Args:
        step_size: ε of the last level as `annealed_langevin` takes it, which is twice the paper's; in (0, 4 σ_L²),
            beyond which the dynamics diverges. Arrays broadcast.
        sigma_last: σ_L.
        ratio: γ.
        steps: T ≥ 1.

    Returns:
        The ratio of variances, in float64, of the shape to which step_size and ratio broadcast.

    Raises:
        ValueError: unless 0 < step_size < 4 σ_L² and steps ≥ 1.

    Reference:
        Song & Ermon 2020, proposition 3.
    """
    u, gamma = np.asarray(step_size, np.float64) / (2 * float(sigma_last) ** 2), np.asarray(ratio, np.float64)
    if not (np.all((u > 0) & (u < 2)) and steps >= 1):
        raise ValueError(f"need 0 < step_size < 4 sigma_last² and steps >= 1, got {step_size}, {sigma_last}, {steps}")
    stationary = 1 / (1 - u / 2)
    return (1 - u) ** (2 * steps) * (gamma**2 - stationary) + stationary


def step_size(sigma_first: ArrayLike, sigma_last: ArrayLike, n: int, steps: int) -> float:
    """Step size ε for which `variance_ratio` is nearest to 1 (technique 4).

    It is the step of `annealed_langevin(ε, sigma_last, steps)`, which moves by (ε/2) score + √ε z. The paper moves by
    α score + √(2α) z, so ε is twice its α.

    Args:
        sigma_first: σ_1.
        sigma_last: σ_L, in (0, σ_1).
        n: number of geometric levels ≥ 2.
        steps: T ≥ 1 Langevin steps per level.

    Returns:
        ε > 0.

    Raises:
        ValueError: unless 0 < sigma_last < sigma_first < ∞, n ≥ 2 and steps ≥ 1.
    """
    check_at_least(1, steps=steps)
    excess = math.expm1(2 * _log_span(sigma_first, sigma_last, n) / (n - 1))  # γ² − 1

    # variance_ratio exceeds 1 for every ε, so its minimum is nearest to 1; its slope changes sign once
    def negative_slope(u: float) -> float:
        """−d variance_ratio/du on [0, 1]; q − 1 = u/(2 − u)."""
        decay = (1 - u) ** (2 * steps)
        return 2 * steps * (1 - u) ** (2 * steps - 1) * (excess - u / (2 - u)) - (1 - decay) * 2 / (2 - u) ** 2

    return 2 * float(sigma_last) ** 2 * _bisect(negative_slope, 0.0, 1.0)


def sigma_scaled_score(process: GaussianProcess, network: Network) -> Network:
    """Network that predicts the score f(x)/sigma(t), from a network f that does not see the time (technique 3).

    The norm of the score is proportional to 1/sigma, so f has one scale for all levels. The result is 0 where
    sigma = 0.

    Args:
        process: the process.
        network: f, a function (x, t, cond) that is given t = 0.

    Returns:
        A network to use with `predicts="score"`; losses and denoisers refuse it with another value.
    """

    def predict_score(x: Float[Array, "b *event"], t: Float[Array, " b"], cond: Any) -> Float[Array, "b *out"]:
        output = network(x, jnp.zeros_like(t), cond)
        return safe_divide(output, per_example(process.sigma(t), output))

    predict_score.predicts = "score"
    return predict_score


def _log_span(sigma_first: ArrayLike, sigma_last: ArrayLike, n: int = 2) -> float:
    """ln(σ_1/σ_L); raises ValueError for levels that are not positive and descending."""
    first, last = float(sigma_first), float(sigma_last)
    if not (0 < last < first < math.inf and n >= 2):
        raise ValueError(f"need 0 < sigma_last < sigma_first and n >= 2 levels, got {first} to {last} with n={n}")
    return math.log(first / last)


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Root of a function that is positive at low and not at high, to the last digit."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return middle

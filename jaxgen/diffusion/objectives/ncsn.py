"""The techniques of NCSNv2 (Song & Ermon 2020): which noise levels, which Langevin step, and a network without time.

The levels are a ladder σ_1 > … > σ_L with one ratio γ = σ_i/σ_{i+1}, which is `ve` looked at in L times:

    sigma_1, n = max_pairwise_distance(x0), num_noise_levels(sigma_1, sigma_L, overlap_ratio(dims))
    process, score = ve(sigma_L, sigma_1), sigma_scaled_score(process, network)
    denoising_loss(key, process, score, x0, predicts="score", weighting=weighting.simple(), times=noise_level_times(n))

    sampler = annealed_langevin(step_size(sigma_1, sigma_L, n, steps), sigma_L, steps, final_denoising=True)
    grid = grids.noise_grid(process, geometric_sigmas(sigma_1, sigma_L, n))
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import per_example, safe_divide
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
    """The largest Euclidean distance between two of x (N, *event), in x's units: σ_1 (technique 1).

    So wide a first level lets Langevin dynamics go from any example to any other. subset: look only at so many
    examples, drawn by `key`; else at all, in O(N² D) time. Pairs are visited in tiles of block × block, so that memory
    beside x's own is a tile's. float32 at least; not finite where x is not, or where the distance is beyond the type's
    range; what is below its smallest normal number, 1.2e-38 in float32, may count as 0.
    Raises ValueError for fewer than two examples, x that is not floating point (scale images as the network sees them
    first), block < 1, subset < 2 or without a key.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x must be floating point, got {x.dtype}: scale it first as the network will see it")
    if len(x) < 2 or block < 1 or (subset is not None and subset < 2):
        raise ValueError(f"need two examples and block >= 1, got {len(x)} of them, subset={subset} and block={block}")
    points = jnp.asarray(x).reshape(len(x), -1)
    if subset is not None and subset < len(points):
        if key is None:
            raise ValueError(f"subset={subset} of {len(points)} examples is drawn at random: give a key")
        points = points[jax.random.choice(key, len(points), (subset,), replace=False)]
    n, block = len(points), min(block, len(points))
    wide = jnp.promote_types(points.dtype, jnp.float32)
    # From the first point none is farther than the largest distance: x minus that, taken before all else, overflows
    # only where the distance does, and ‖a‖² + ‖b‖² − 2a·b rounds relative to it.
    origin = points[0].astype(wide)
    reach = jnp.abs(points.astype(wide) - origin).max()
    # In units of about that, or squares overflow and vanish: a power of 2 loses no digits, if its reciprocal is normal.
    smallest = jnp.finfo(wide).minexp
    unit = jnp.ldexp(jnp.ones((), wide), jnp.clip(jnp.frexp(reach)[1] - 1, smallest, -smallest))
    # The last tile is moved back to fit: to see a pair twice does no harm.
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
    """γ at which neighbouring levels overlap: Φ(√(2D)(γ−1)+3γ) − Φ(√(2D)(γ−1)−3γ) = overlap (technique 2).

    The radius of N(0, σ² I) in D = dims dimensions is about N(√D σ, σ²/2): the left side is the share of a level's
    radii within three standard deviations of those of the level before, γ times as wide. Φ is the normal distribution
    function. γ(3072) = 1.0398; the paper's own ladders overlap by .567: 232 levels for CIFAR-10, not 220.
    Raises ValueError unless dims ≥ 5 (in fewer, levels of any ratio overlap by more) and 0 < overlap ≤ .99.
    """
    if dims < 5 or not 0 < overlap <= 0.99:
        raise ValueError(
            f"need dims >= 5 and 0 < overlap <= 0.99, got {dims} and {overlap}: in fewer dimensions neighbouring "
            "levels overlap whatever their ratio, so choose one by hand"
        )
    width = math.sqrt(2 * dims)

    def shared(gamma: float) -> float:
        low, high = (width * (gamma - 1) + side * gamma for side in (-3, 3))
        return 0.5 * (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2)))

    # the overlap rises a little from Φ(3) − Φ(−3) = .9973 at γ = 1, then falls to 0: one root
    return _bisect(lambda gamma: shared(gamma) - overlap, 1.0, (40 + width) / (width - 3))


def num_noise_levels(sigma_first: ArrayLike, sigma_last: ArrayLike, ratio: ArrayLike) -> int:
    """The fewest levels from sigma_first to sigma_last whose ratio is at most `ratio`: 1 + ⌈ln(σ_1/σ_L)/ln γ⌉.

    Raises ValueError unless 0 < sigma_last < sigma_first and ratio > 1.
    """
    span = _log_span(sigma_first, sigma_last)
    if not 1 < ratio < math.inf:
        raise ValueError(f"the ratio of neighbouring levels must be above 1, got {ratio}")
    return 1 + math.ceil(span / math.log(float(ratio)) * (1 - 1e-9))  # round-off must not add a level


def geometric_sigmas(sigma_first: ArrayLike, sigma_last: ArrayLike, n: int) -> Float[np.ndarray, " n"]:
    """The ladder: n levels descending from sigma_first to sigma_last by one ratio, float64 (technique 2).

    Raises ValueError unless 0 < sigma_last < sigma_first and n ≥ 2.
    """
    _log_span(sigma_first, sigma_last, n)
    return np.geomspace(float(sigma_first), float(sigma_last), n)


def noise_level_times(n: int) -> TimeSampler:
    """Training times at which `ve` has the n levels of a ladder, each as likely as the others: t = i/(n−1).

    t = 0 is the last level, sigma_min, and t = 1 the first. Raises ValueError unless n ≥ 2.
    """
    if n < 2:
        raise ValueError(f"a ladder has at least two levels, got n={n}")
    return lambda key, b: jax.random.randint(key, (b,), 0, n) / (n - 1)


def variance_ratio(
    step_size: ArrayLike, sigma_last: ArrayLike, ratio: ArrayLike, steps: int
) -> Float[np.ndarray | np.floating, "..."]:
    """Variance of x over σ_i² after a level's `steps` of Langevin dynamics, begun at the level before (proposition 3).

    For data at one point: (1 − u)^{2T} (γ² − q) + q with u = ε/2σ_L² and q = 1/(1 − u/2); 1 would be exact. step_size:
    ε at the last level as `annealed_langevin` takes it, twice the paper's; arrays broadcast.
    Raises ValueError unless 0 < step_size < 4 sigma_last² (beyond which the dynamics diverges) and steps ≥ 1.
    """
    u, gamma = np.asarray(step_size, np.float64) / (2 * float(sigma_last) ** 2), np.asarray(ratio, np.float64)
    if not (np.all((u > 0) & (u < 2)) and steps >= 1):
        raise ValueError(f"need 0 < step_size < 4 sigma_last² and steps >= 1, got {step_size}, {sigma_last}, {steps}")
    settled = 1 / (1 - u / 2)
    return (1 - u) ** (2 * steps) * (gamma**2 - settled) + settled


def step_size(sigma_first: ArrayLike, sigma_last: ArrayLike, n: int, steps: int) -> float:
    """ε that brings `variance_ratio` nearest to 1 on a ladder of n levels with T = steps each (technique 4).

    It is what `annealed_langevin(ε, sigma_last, steps)` takes, whose move is x + (ε/2) score + √ε z. The paper moves by
    x + α score + √(2α) z, so ε here is twice its published ε: 6.2e-6 for CIFAR-10 (σ from 50 to .01, n = 232, T = 5).
    The ratio is above 1 for any ε, so nearest is least; its slope in ε changes sign once, where bisection finds it.
    Raises ValueError unless 0 < sigma_last < sigma_first, n ≥ 2 and steps ≥ 1.
    """
    if steps < 1:
        raise ValueError(f"need at least one step at each level, got {steps}")
    excess = math.expm1(2 * _log_span(sigma_first, sigma_last, n) / (n - 1))  # γ² − 1

    def fall(u: float) -> float:
        """−d variance_ratio/du on [0, 1]: falls until it is negative, and stays so; q − 1 = u/(2 − u)."""
        kept = (1 - u) ** (2 * steps)
        return 2 * steps * (1 - u) ** (2 * steps - 1) * (excess - u / (2 - u)) - (1 - kept) * 2 / (2 - u) ** 2

    return 2 * float(sigma_last) ** 2 * _bisect(fall, 0.0, 1.0)


def sigma_scaled_score(process: GaussianProcess, network: Network) -> Network:
    """A network f that is told no time as one that predicts the score f(x)/sigma(t) (technique 3).

    The score's norm grows as 1/sigma, so f keeps one scale and needs to know x alone. f: a Network (x, t, cond), given
    t = 0 always. The result is for `denoiser(process, …, predicts="score")`, and is 0 where sigma = 0.
    """

    def predict_score(x: Float[Array, "b *event"], t: Float[Array, " b"], cond: Any) -> Float[Array, "b *out"]:
        output = network(x, jnp.zeros_like(t), cond)
        return safe_divide(output, per_example(process.sigma(t), output))

    return predict_score


def _log_span(sigma_first: ArrayLike, sigma_last: ArrayLike, n: int = 2) -> float:
    """ln(σ_1/σ_L) of a ladder that makes sense."""
    first, last = float(sigma_first), float(sigma_last)
    if not (0 < last < first < math.inf and n >= 2):
        raise ValueError(f"need 0 < sigma_last < sigma_first and n >= 2 levels, got {first} to {last} with n={n}")
    return math.log(first / last)


def _bisect(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that is positive at low and not at high changes sign, to the last digit."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return middle

"""How the chains of the plane fill the modes and the hole, by their steps and by their network calls."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.drawing import Drawer
from experiments.kit.plane import lattice
from experiments.kit.run import Run
from experiments.kit.statistics import over_repetitions
from experiments.kit.timing import seconds
from experiments.kit.toy_sampling import MixtureComparison, nearest_mode
from experiments.recovery_likelihood.chains import draw_by_moments
from experiments.recovery_likelihood.config import Config
from experiments.recovery_likelihood.gaussian_kernels import reverse_moments
from experiments.recovery_likelihood.levels import plane_times, process
from experiments.recovery_likelihood.modes import LIMITS, STD, WEIGHTS, hole_level, modes
from experiments.recovery_likelihood.train_plane import Plane
from jaxgen import ebm, samplers
from jaxgen.metrics import MeanAndError, mode_coverage

GAUSSIAN, BEST, ENERGY, TRUTH = "Gaussian kernels", "best Gaussian kernels", "energies", "the data"
COMPARED = 1000  # samples whose MMD is measured
FOUND = 0.2  # of its weight, with which a mode counts as found
CHAIN_STEPS = (1 / 3, 3)  # of the curves, as multiples of those of training
BANDWIDTHS = (0.1, 0.3, 1.0)
KERNEL_CELLS = 120
CONDITION = (1.0, 0.45)  # x_t over its α, whose reverse kernel is shown


class Drawn(NamedTuple):
    """Samples of one chain.

    Attributes:
        steps: its reverse steps T.
        calls: network calls for a sample; of an energy, of its gradient.
        samples: of the first seed (n, 2).
        weights: shares of samples nearest to each mode (seeds, k).
        holes: shares of samples in the hole (seeds,).
        modes: modes found (seeds,).
        mmds: MMD to the data over that of the data's own draws (seeds,).
        seconds: for 1000 samples, the lesser of two runs.
    """

    steps: int
    calls: int
    samples: np.ndarray
    weights: np.ndarray
    holes: np.ndarray
    modes: np.ndarray
    mmds: np.ndarray
    seconds: float

    @property
    def weight_errors(self) -> np.ndarray:
        """The largest error of a mode's weight, of each seed (seeds,)."""
        return np.abs(self.weights - WEIGHTS).max(-1)

    @property
    def hole(self) -> MeanAndError:
        """The mass in the hole over seeds."""
        return over_repetitions(self.holes)

    @property
    def mmd(self) -> MeanAndError:
        """The MMD over seeds."""
        return over_repetitions(self.mmds)


class Curve(NamedTuple):
    """Means over seeds by network calls."""

    calls: np.ndarray
    hole: np.ndarray
    mmd: np.ndarray


class Kernels(NamedTuple):
    """One last reverse kernel q(x_0 | x_t).

    Attributes:
        condition: x_t over its α (2,).
        exact: its density (h, w).
        energy: that of the energy (h, w).
        ends: ends of the chains that sample the energy (n, 2).
        gaussian: the density of the best Gaussian (h, w).
    """

    condition: np.ndarray
    exact: np.ndarray
    energy: np.ndarray
    ends: np.ndarray
    gaussian: np.ndarray


class PlaneMeasured(NamedTuple):
    """Everything of the plane.

    Attributes:
        chains: by kind and number of reverse steps; the data's own draws as steps 0.
        curves: by name of a method.
        kernels: a reverse kernel.
        calls_to_match: the fewest calls at which the Gaussian chain has no larger MMD and no more mass in the hole
            than the energies of each number of levels; None where it never does.
    """

    chains: dict[str, dict[int, Drawn]]
    curves: dict[str, Curve]
    kernels: Kernels
    calls_to_match: dict[int, int | None]


class Judge:
    """Measures samples (n, 2) of each seed."""

    def __init__(self, config: Config):
        self._config, self._mixture = config, modes()
        self._level = hole_level(self._mixture)
        key = jax.random.key(config.seed + 7)
        self._comparison = MixtureComparison(self._mixture, COMPARED, key, bandwidths=BANDWIDTHS)
        self._log_density = jax.jit(self._mixture.log_density)

    def hole(self, x: np.ndarray) -> float:
        """The share of samples in the hole, to which what is not finite belongs."""
        return float(np.mean(~(np.asarray(self._log_density(jnp.asarray(x))) >= self._level)))

    def mmd(self, x: np.ndarray) -> float:
        """The MMD over its floor."""
        return self._comparison.mmd(x[:COMPARED]) / self._comparison.floor

    def __call__(self, draw: Callable[[Any, jax.Array], jax.Array], params: Any, steps: int, calls: int) -> Drawn:
        """Draw and measure all seeds; `draw` is (params, keys) -> samples, for one seed."""
        keys = self.keys(self._config.plane_samples)
        compiled = jax.jit(jax.vmap(draw))
        x = np.asarray(compiled(params, keys))
        taken = min(seconds(lambda: jax.block_until_ready(compiled(params, keys))) for _ in range(2))
        return self.measured(x, steps, calls, 1000 * taken / (x.shape[0] * x.shape[1]))

    def measured(self, x: np.ndarray, steps: int, calls: int, seconds: float) -> Drawn:
        """Measure samples (seeds, n, 2)."""
        means = np.asarray(self._mixture.means)
        shares = [np.bincount(nearest_mode(of, means), minlength=len(means)) / len(of) for of in x]
        good = [mode_coverage(of[np.isfinite(of).all(-1)], means, STD, weights=WEIGHTS).good_counts for of in x]
        found = (np.array(good) >= FOUND * WEIGHTS * x.shape[1]).sum(-1)
        holes, mmds = np.array([self.hole(of) for of in x]), np.array([self.mmd(of) for of in x])
        return Drawn(steps, calls, x[0], np.array(shares), holes, found, mmds, seconds)

    def keys(self, n: int) -> jax.Array:
        """Keys of n samples of each seed, (seeds, n)."""
        return jax.random.split(jax.random.key(self._config.seed + 3), (self._config.seeds, n))


def measure_plane(run: Run[Config], plane: Plane) -> PlaneMeasured:
    """Measure the chains of the plane."""
    config = run.config
    chains = run.stage("plane/chains", partial(measure_chains, config, plane))
    curves = run.stage("plane/costs", partial(measure_costs, config, plane, chains))
    kernels = run.stage("plane/kernels", partial(measure_kernels, config, plane))
    return PlaneMeasured(chains, curves, kernels, calls_to_match(chains, curves))


def measure_chains(config: Config, plane: Plane) -> dict[str, dict[int, Drawn]]:
    """The chains of each number of reverse steps, and as many draws of the data."""
    judge = Judge(config)
    nothing = np.zeros(config.seeds)
    found = {GAUSSIAN: {}, BEST: {}, ENERGY: {}}
    for steps, chain in plane.energies.items():
        found[GAUSSIAN][steps] = judge(partial(plane.gaussian.draw, steps=steps), plane.gaussian_params, steps, steps)
        found[BEST][steps] = judge(partial(draw_by_moments, steps=steps), nothing, steps, 0)
        inner = config.plane_chain_steps
        found[ENERGY][steps] = judge(partial(chain.draw, steps=inner), plane.energy_params[steps], steps, steps * inner)
    key = jax.random.key(config.seed + 5)
    truth = np.asarray(modes().sample(key, config.seeds * config.plane_samples)).reshape(config.seeds, -1, 2)
    return found | {TRUTH: {0: judge.measured(truth, 0, 0, 0.0)}}


def measure_costs(config: Config, plane: Plane, chains: dict[str, dict[int, Drawn]]) -> dict[str, Curve]:
    """Hole and MMD by network calls: Gaussian chains of more steps, and energies.

    Those of the compared number of levels also have shorter and longer chains.
    """
    judge = Judge(config)
    keys = judge.keys(COMPARED)
    drawers = [Drawer(replace(config, cores=1), plane.gaussian.denoise, (2,), of) for of in keys]
    ddpm, compared = samplers.ddpm(), four_or_most(plane.energies)

    def gaussian(steps: int) -> list[np.ndarray]:
        """Samples of each seed."""
        params = [jax.tree.map(lambda leaf, i=i: leaf[i], plane.gaussian_params) for i in range(config.seeds)]
        drawn = zip(drawers, params, strict=True)
        return [drawer(process(), of, ddpm, plane_times(steps)).images for drawer, of in drawn]

    def energy(steps: int) -> np.ndarray:
        """Samples (seeds, n, 2) by so many Langevin steps at each level."""
        draw = partial(plane.energies[compared].draw, steps=steps)
        return np.asarray(jax.jit(jax.vmap(draw))(plane.energy_params[compared], keys))

    def curve(known: Iterable[Drawn], new: dict[int, Any]) -> Curve:
        """Of samples that are measured already, and of new ones of each seed, by calls."""
        points = {of.calls: (of.hole.mean, of.mmd.mean) for of in known}
        points |= {
            n: tuple(np.mean([of(x) for x in each]) for of in (judge.hole, judge.mmd)) for n, each in new.items()
        }
        calls = sorted(points)
        return Curve(np.array(calls), *np.array([points[n] for n in calls]).T)

    more = [n for n in config.gaussian_steps if n not in chains[GAUSSIAN]]
    found = {GAUSSIAN: curve(chains[GAUSSIAN].values(), {n: gaussian(n) for n in more})}
    inner = {max(1, round(factor * config.plane_chain_steps)) for factor in CHAIN_STEPS} - {config.plane_chain_steps}
    for levels, of in chains[ENERGY].items():
        new = {levels * n: energy(n) for n in inner} if levels == compared else {}
        found[f"{ENERGY}, {levels} levels"] = curve([of], new)
    return found


def four_or_most(by_levels: Iterable[int]) -> int:
    """The number of levels that is compared: four, or the largest where there are none of four."""
    levels = set(by_levels)
    return 4 if 4 in levels else max(levels)


def calls_to_match(chains: dict[str, dict[int, Drawn]], curves: dict[str, Curve]) -> dict[int, int | None]:
    """The fewest calls at which the Gaussian chain is no worse than each number of levels, in both measures."""
    gaussian = curves[GAUSSIAN]

    def fewest(of: Drawn) -> int | None:
        good = (gaussian.hole <= of.hole.mean) & (gaussian.mmd <= of.mmd.mean)
        return int(gaussian.calls[good][0]) if good.any() else None

    return {steps: fewest(of) for steps, of in chains[ENERGY].items()}


def measure_kernels(config: Config, plane: Plane) -> Kernels:
    """The last reverse kernel of a number of levels, four if there are, where x_t lies between modes."""
    levels = four_or_most(plane.energies)
    chain, mixture = plane.energies[levels], modes()
    t, s = plane_times(levels)[-2:]
    alpha, sigma = (np.asarray(of(t)) for of in (process().alpha, process().sigma))
    condition = jnp.asarray(alpha * np.array(CONDITION), jnp.float32)
    points = jnp.asarray(lattice(LIMITS, KERNEL_CELLS), jnp.float32)
    flat, area = points.reshape(-1, 2), ((LIMITS[1] - LIMITS[0]) / KERNEL_CELLS) ** 2

    def normalised(log_density: np.ndarray) -> np.ndarray:
        density = np.exp(np.asarray(log_density, np.float64) - np.max(log_density)).reshape(points.shape[:2])
        return density / density.sum() / area

    exact = mixture.log_density(flat) - ((condition - alpha * flat) ** 2).sum(-1) / (2 * sigma**2)
    params = jax.tree.map(lambda leaf: leaf[0], plane.energy_params[levels])
    x_t = jnp.broadcast_to(condition, flat.shape)
    energy = ebm.conditional_energy(lambda y: chain.energy(params, y, jnp.zeros(len(y))), x_t, sigma**2)
    step = ebm.recovery_sampler(config.plane_chain_steps).step

    @jax.jit
    def walked(keys: jax.Array, params: Any) -> jax.Array:
        start = jnp.broadcast_to(condition, (len(keys), 2))
        return step(
            keys, chain.ladder, partial(chain.energy, params), jnp.asarray(1 / levels), jnp.zeros(()), start, None
        )[0]

    ends = walked(jax.random.split(jax.random.key(config.seed + 6), COMPARED), params)
    mean, covariance = reverse_moments(mixture, process(), condition[None], t, s)
    away = np.asarray(flat - mean[0])
    gaussian = -np.einsum("ni,ij,nj->n", away, np.linalg.inv(np.asarray(covariance[0])), away) / 2
    return Kernels(
        np.asarray(condition / alpha),
        normalised(exact),
        normalised(-energy(alpha * flat)),
        np.asarray(ends),
        normalised(gaussian),
    )

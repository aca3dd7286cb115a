"""The weights of modes that Langevin chains end with, without noise levels and with them."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from experiments.kit import statistics
from experiments.kit.plane import lattice
from experiments.kit.run import Run
from experiments.kit.toy_sampling import anneal, density, exact_score, nearest_mode, uniform_starts, walk
from experiments.ncsn_toy.chain_law import expected_shares
from experiments.ncsn_toy.config import Config
from experiments.ncsn_toy.measure_regions import HALF
from experiments.ncsn_toy.train import Models
from jaxgen.metrics import MeanAndError

FRAMES, CELLS = 20, 200
LIMITS = (-12.0, 12.0)
PLAIN, PLAIN_LEARNED = "Langevin, exact", "Langevin, learned"
EXACT, LEARNED, LONGER = "annealed, exact", "annealed, learned", "annealed, learned, 3 × steps"


class Ends(NamedTuple):
    """Where the chains of one seed end.

    Attributes:
        along: the share of chains at the first mode, at the start and after each frame.
        changed: the share of chains that end nearer to the other mode than they began.
        far: the share of chains that end outside the square of twice the side of that of the starts.
        shown: the ends (starts, 2) of the chains that are drawn.
    """

    along: np.ndarray
    changed: float
    far: float
    shown: np.ndarray


class Method(NamedTuple):
    """How often the chains of a method end at the first mode."""

    share: MeanAndError  # over seeds
    error: MeanAndError  # share − weight
    expected: float | None  # the share of infinitely many chains of exact scores
    changed: float
    far: float
    steps: np.ndarray  # (frames + 1,)
    along: np.ndarray  # (frames + 1,), the mean share after so many steps
    shown: np.ndarray  # (starts, 2), the ends that are drawn
    shown_share: float
    shown_changed: float


class Target(NamedTuple):
    """The law that chains are to sample: its density on a grid of LIMITS, and draws of it."""

    sigma: float
    density: np.ndarray  # (cells, cells)
    points: np.ndarray  # (starts, 2)
    share: float  # of the points at the first mode


class Weights(NamedTuple):
    """The weight of the first mode in p, as a mean without error, and what each method makes of it."""

    weight: MeanAndError
    methods: dict[str, Method]
    draws: MeanAndError  # the share among draws of p
    side: np.ndarray  # (starts,), 0 or 1: the mode that a drawn chain started nearer to
    targets: dict[str, Target]  # of "Langevin" and of "annealed" dynamics


class Chains:
    """Paths (frames, n, 2) by each method, from starts that all methods of a seed share; each compiled once."""

    def __init__(self, models: Models, config: Config):
        self._models, self._config = models, config
        plain = {"step_size": config.step_size, "steps": config.langevin_steps, "frames": FRAMES}
        levels = {"step_size": config.step_size, "steps": config.level_steps}
        mixture, apply, sigmas = models.mixture, models.net.apply, models.sigmas

        def learned(params, key, start):
            return walk(partial(apply, params), key, start, **plain)

        def learned_levels(params, key, start):
            return anneal(partial(apply, params), key, start, sigmas, **levels)

        def longer(params, key, start):
            more = levels | {"steps": 3 * config.level_steps}
            return anneal(partial(apply, params), key, start, sigmas, **more)

        def exact(_, key, start):
            return walk(mixture.score, key, start, **plain)

        def exact_levels(_, key, start):
            return anneal(exact_score(mixture), key, start, sigmas, **levels)

        self._methods = {
            PLAIN: (jax.jit(exact), None),
            PLAIN_LEARNED: (jax.jit(learned), models.clean),
            EXACT: (jax.jit(exact_levels), None),
            LEARNED: (jax.jit(learned_levels), models.many),
            LONGER: (jax.jit(longer), models.many),
        }

    def start(self, seed: int) -> jax.Array:
        """The starts (n, 2) of one seed."""
        config = self._config
        return uniform_starts(self._keys(seed)[0], config.starts * config.repeats, HALF)

    def __call__(self, seed: int) -> dict[str, np.ndarray]:
        """The paths of all methods of one seed."""
        chain_key, start = self._keys(seed)[1], self.start(seed)
        return {
            name: np.asarray(draw(None if params is None else params[seed], chain_key, start))
            for name, (draw, params) in self._methods.items()
        }

    def _keys(self, seed: int) -> jax.Array:
        return jax.random.split(jax.random.fold_in(jax.random.key(self._config.seed + 1), seed))


def measure_weights(run: Run[Config], models: Models) -> Weights:
    """Run the chains of every method and count where they end."""
    config, mixture = run.config, models.mixture
    chains, means = Chains(models, config), np.asarray(mixture.means)

    def ends_of(seed: int) -> dict[str, Ends]:
        return {name: ends(path, means, config.starts) for name, path in chains(seed).items()}

    found = [run.stage(f"chains/{seed}", partial(ends_of, seed)) for seed in range(config.seeds)]
    expected = run.stage("chain law", lambda: in_law(models, config))
    side = nearest_mode(np.asarray(chains.start(0))[: config.starts], means)
    weight = float(mixture.weights[0])
    count = config.starts * config.repeats

    def steps(name: str) -> int:
        if name.startswith("Langevin"):
            return config.langevin_steps
        return config.level_steps * len(models.sigmas) * (3 if name == LONGER else 1)

    def method(name: str) -> Method:
        of = [each[name] for each in found]
        along, shown = np.mean([each.along for each in of], 0), of[0].shown
        share = statistics.share([each.along[-1] for each in of], each=count)
        return Method(
            share=share,
            error=MeanAndError(share.mean - weight, share.error),
            expected=expected.get(name),
            changed=float(np.mean([each.changed for each in of])),
            far=float(np.mean([each.far for each in of])),
            steps=np.linspace(0, steps(name), len(along)),
            along=along,
            shown=shown,
            shown_share=float(first_share(shown, means)),
            shown_changed=float(np.mean(nearest_mode(shown, means) != side)),
        )

    def target(sigma: float) -> Target:
        law = mixture.perturbed(1.0, sigma)
        points = np.asarray(law.sample(jax.random.key(config.seed + 9), config.starts))
        return Target(sigma, density(law, lattice(LIMITS, CELLS)), points, float(first_share(points, means)))

    drawn = [mixture.sample(jax.random.key(config.seed + 50 + i), count) for i in range(config.seeds)]
    return Weights(
        weight=MeanAndError(weight, 0.0),
        methods={name: method(name) for name in found[0]},
        draws=statistics.share([first_share(x, means) for x in drawn], each=count),
        side=side,
        targets={"Langevin": target(0.0), "annealed": target(float(models.sigmas[-1]))},
    )


def ends(path: np.ndarray, means: np.ndarray, shown: int) -> Ends:
    """Where chains of paths (frames, n, 2) end; the first `shown` of them are drawn."""
    begun, ended = nearest_mode(path[[0, -1]], means)
    far = float(np.mean(np.abs(path[-1]).max(-1) > 2 * HALF))
    return Ends(first_share(path, means), float(np.mean(begun != ended)), far, path[-1, :shown])


def first_share(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The share of points (…, n, 2) that are nearest to the first mode, (…)."""
    return np.mean(nearest_mode(x, means) == 0, -1)


def in_law(models: Models, config: Config) -> dict[str, float]:
    """The shares that infinitely many chains of exact scores end with."""
    sigmas, last = models.sigmas, models.sigmas[-1]
    levels = [(float(sigma), config.step_size * float(sigma / last) ** 2) for sigma in sigmas]
    of_levels = {steps: expected_shares(models.mixture, levels, steps * config.level_steps, HALF) for steps in (1, 3)}
    plain = expected_shares(models.mixture, [(0.0, config.step_size)], config.langevin_steps, HALF, cell=0.05)
    return {name: float(of[-1]) for name, of in ((PLAIN, plain), (EXACT, of_levels[1]), (LONGER, of_levels[3]))}

"""Every way of sampling, by the weight and width of its modes and by its MMD."""

from collections.abc import Callable
from functools import cache, partial
from typing import Literal, NamedTuple

import jax
import numpy as np
from scipy import stats

from experiments.gmm_scores.draw import Drawing
from experiments.gmm_scores.measure_chains import EXACT
from experiments.kit.statistics import over_repetitions, share, verdict
from experiments.kit.toy_sampling import Found, MixtureComparison, nearest_mode, outside, sample_mixture, true_widths
from jaxgen.distributions import GaussianMixture
from jaxgen.metrics import MeanAndError

TOLERANCE = 0.02  # of a mode's weight

Kept = Literal["within 0.02", "within chance", "no"]


class Method(NamedTuple):
    """A way of sampling: its samples (n, 2) of a seed, its network calls, and its target p * N(0, σ² I)."""

    name: str
    sigma: float
    calls: int | None
    draw: Callable[[int], np.ndarray]


class Sampler(NamedTuple):
    """What a method's samples are like; means and standard errors are over seeds.

    Attributes:
        name: name of the method.
        sigma: σ of its target p * N(0, σ² I); 0 for p.
        calls: network calls; None for draws of p.
        samples: (n, 2) of the first seed.
        found: weight of mode 1, width over that of p, and MMD to p, of each seed.
        weight: share of samples nearer to mode 1.
        error: weight less that of p.
        kept: whether p's weight is kept: within 0.02, else within chance at 5 %, or not.
        width: of the modes, over that of p.
        mmd: MMD to p over its floor, the mean MMD of draws of p.
        own_mmd: MMD to the method's target over that target's floor; None for draws of p.
    """

    name: str
    sigma: float
    calls: int | None
    samples: np.ndarray
    found: list[Found]
    weight: MeanAndError
    error: MeanAndError
    kept: Kept
    width: MeanAndError
    mmd: MeanAndError
    own_mmd: MeanAndError | None

    @property
    def weights(self) -> np.ndarray:
        """The weight of mode 1, (seeds,)."""
        return np.array([of.weight for of in self.found])

    @property
    def mmds(self) -> np.ndarray:
        """The MMD to p, (seeds,)."""
        return np.array([of.mmd for of in self.found])


class Samplers(NamedTuple):
    """All samplers, and what they are compared with.

    Attributes:
        all: by key.
        floors: MMD to p of each of several sets of draws of p.
        floor: their mean.
        fair_error: standard deviation of the weight among as many independent draws of p.
        weights: share of p * N(0, σ² I) nearer to mode 1, by σ.
        widths: width of the modes of p * N(0, σ² I) over that of p, by σ.
        start_weight: share of all seeds' starts nearer to mode 1.
        heun_difference: weight by Heun with exact scores less that with the network, from the same starts.
        start_difference: weight by DDIM from N(0, σ² I) less that from the matched Gaussian.
        outside: shares of samples outside the figures' square, by name, of the samplers shown.
    """

    all: dict[str, Sampler]
    floors: np.ndarray
    floor: float
    fair_error: float
    weights: dict[float, float]
    widths: dict[float, float]
    start_weight: float
    heun_difference: MeanAndError
    start_difference: MeanAndError
    outside: dict[str, float]

    @property
    def shown(self) -> dict[str, Sampler]:
        """Those whose samples are shown: the draws of p first, without ascent and what differs little from others."""
        hidden = ("ascent", "annealed exact", "DDIM", "Heun exact")
        named = {key: of for key, of in self.all.items() if key != "p" and not key.startswith(hidden)}
        return {"p": self.all["p"]} | named


def methods(drawing: Drawing) -> dict[str, Method]:
    """All methods, by key."""
    config, models = drawing.config, drawing.models
    short, full, steps, ode = drawing.ladders.short, drawing.ladders.full, config.langevin_steps, config.ode_steps
    of_short, of_full = f"network [1, {short[0]:g}]", f"network [{full[-1]:g}, {full[0]:g}]"
    calls, full_calls = config.level_steps * len(short), config.level_steps * len(full)

    def walk(sigma: float, noise_scale: float) -> Callable[[int], np.ndarray]:
        return lambda seed: drawing.walk(sigma, seed, noise_scale=noise_scale).ends

    def annealed(kind: Literal["exact", "short", "full"]) -> Callable[[int], np.ndarray]:
        return lambda seed: drawing.anneal(kind, seed)[-1]

    found = {}
    for key, scale in (("ascent", 0.0), ("Langevin", 1.0)):
        found[key] = Method(f"{key}, {EXACT}", 0.0, steps, walk(0.0, scale))
        for sigma in models.single:
            found[f"{key} {sigma}"] = Method(f"{key}, network σ = {sigma:g}", sigma * scale, steps, walk(sigma, scale))
    flow, heun_calls = drawing.flow, 2 * ode - 1
    return found | {
        "annealed exact": Method("annealed to σ = 1, exact scores", 1.0, calls, annealed("exact")),
        "annealed": Method(f"annealed to σ = 1, {of_short}", 1.0, calls, annealed("short")),
        "denoised": Method("annealed to σ = 1, then x̂0 = x + σ² s", 0.0, calls + 1, drawing.denoised),
        "annealed full": Method(
            f"annealed to σ = {full[-1]:g}, {of_full}", float(full[-1]), full_calls, annealed("full")
        ),
        "DDIM plain": Method(f"DDIM, {of_full}, from N(0, σ² I)", 0.0, ode, partial(flow, "DDIM", matched=False)),
        "DDIM": Method(f"DDIM, {of_full}", 0.0, ode, partial(flow, "DDIM")),
        "Heun": Method(f"Heun, {of_full}", 0.0, heun_calls, partial(flow, "Heun")),
        "Heun exact": Method("Heun, exact scores", 0.0, heun_calls, partial(flow, "Heun", exact=True)),
    }


def measure_samplers(drawing: Drawing) -> Samplers:
    """Draw by every method and seed, and compare the samples with p and with each method's target."""
    config, mixture = drawing.config, drawing.models.mixture
    weight, seeds, stage = float(mixture.weights[0]), range(config.seeds), drawing.run.stage

    @cache
    def comparison(sigma: float) -> MixtureComparison:
        law = mixture.perturbed(1.0, sigma) if sigma else mixture
        return MixtureComparison(law, config.samples, jax.random.key(config.seed + 1000))

    floors = stage("comparison/floors", lambda: comparison(0.0).floors)

    def own_mmd(sigma: float, x: np.ndarray) -> float:
        return comparison(sigma).mmd(x) / comparison(sigma).floor

    def sampler(key: str, method: Method) -> Sampler:
        drawn = [method.draw(seed) for seed in seeds]
        found = stage(f"comparison/{key}", lambda: [comparison(0.0)(x) for x in drawn])
        own = None
        if key != "p":
            own = stage(f"comparison/{key}-own", lambda: [own_mmd(method.sigma, x) for x in drawn])
        weights = share(np.array([of.weight for of in found]), each=config.samples)
        error = MeanAndError(weights.mean - weight, weights.error)
        return Sampler(
            method.name,
            method.sigma,
            method.calls,
            drawn[0],
            found,
            weights,
            error,
            keeps_weight(error),
            width=over_repetitions([of.width for of in found]),
            mmd=over_repetitions([of.mmd / floors.mean() for of in found]),
            own_mmd=None if own is None else over_repetitions(own),
        )

    def real(seed: int) -> np.ndarray:
        return stage(f"samples/p/seed-{seed}", lambda: sample_mixture(mixture, drawing.key(seed, 9), config.samples))

    every = methods(drawing) | {"p": Method("draws of p", 0.0, None, real)}
    samplers = {key: sampler(key, method) for key, method in every.items()}
    levels = sorted({of.sigma for of in samplers.values() if of.sigma} | {float(min(drawing.models.single)), 1.0})
    starts = [nearest_mode(drawing.starts(seed), mixture.means) == 0 for seed in seeds]
    measured = Samplers(
        samplers,
        floors,
        floor=float(floors.mean()),
        fair_error=float(np.sqrt(weight * (1 - weight) / config.samples)),
        weights={sigma: exact_weight(mixture, sigma) for sigma in levels},
        widths={sigma: true_widths(mixture, sigma) for sigma in levels},
        start_weight=float(np.mean(starts)),
        heun_difference=over_repetitions(samplers["Heun exact"].weights - samplers["Heun"].weights),
        start_difference=over_repetitions(samplers["DDIM plain"].weights - samplers["DDIM"].weights),
        outside={},
    )
    return measured._replace(outside=outside({of.name: of.samples for of in measured.shown.values()}, drawing.half))


def keeps_weight(error: MeanAndError) -> Kept:
    """Whether the error of a weight is at most 0.02, or else within chance at 5 %."""
    if abs(error.mean) <= TOLERANCE:
        return "within 0.02"
    return "within chance" if verdict(error, MeanAndError(0.0, 0.0)) == "within chance" else "no"


def exact_weight(mixture: GaussianMixture, sigma: float) -> float:
    """The share of p * N(0, σ² I) that lies nearer to the first of two means."""
    weights, means, covariances = (np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(mixture))
    direction, middle = means[0] - means[1], means.mean(0)
    variances = np.einsum("i,kij,j->k", direction, covariances + sigma**2 * np.eye(2), direction)
    return float(weights @ stats.norm.cdf((means - middle) @ direction / np.sqrt(variances)))

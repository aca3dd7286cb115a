"""What the NCSN exercise measures: samples of every variant, their Fréchet distances and their noise."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance
from experiments.kit.images import Images, source
from experiments.kit.run import Run
from experiments.kit.statistics import Verdict, verdicts
from experiments.ncsn.config import Config
from experiments.ncsn.ladder import EXAMINED, Ladder
from experiments.ncsn.noise import noise_images, remaining_noise
from experiments.ncsn.train import ScoreModel
from experiments.ncsn.variants import (
    HALF_STEP,
    HEUN,
    HEUN_CONDITIONAL,
    NCSN_V2,
    NOT_DENOISED,
    OLD_STEP,
    Samplers,
    Variant,
    variants,
)
from jaxgen.diffusion import ncsn
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.training import History

HEUN_STEPS = 25
SHOWN, CHAINS, STATES = 15, 6, 10  # samples of each variant, chains, and states of each that are shown


class Settings(NamedTuple):
    """How a variant samples, and the noise that chains of exact scores would end with, in units of σ_L."""

    sigma_first: float
    levels: int
    steps: int
    step_size: float  # ε/σ_L²
    predicted_noise: float


class Sampled(NamedTuple):
    """Samples of a variant; each number is that of a set."""

    images: np.ndarray  # (k, h, w, c), up to 15 of the first set
    distances: np.ndarray  # (sets,), Fréchet distances
    chain_noise: np.ndarray  # (sets,), the noise where chains end, in units of σ_L
    noise: np.ndarray  # (sets,), the noise in the samples, in units of σ_L
    noise_images: np.ndarray  # (sets,), the share of samples that are noise
    calls: int
    settings: Settings | None = None  # None for Heun's method


class Change(NamedTuple):
    """The mean difference of a variant from NCSNv2 over sets of the same keys, and whether it is beyond chance."""

    difference: MeanAndError
    verdict: Verdict


class Levels(NamedTuple):
    """Chains of NCSNv2 down the levels."""

    sigmas: np.ndarray  # (k,)
    states: np.ndarray  # (k, n, h, w, c), each before the steps at its level; the last after all of them and denoised


class Measured(NamedTuple):
    """Everything the report shows."""

    source: str
    real: np.ndarray  # (60, h, w, c)
    train_count: int
    trained_on: str  # what the classifier was trained on
    examined: int  # images whose distances gave σ₁
    dims: int
    gamma: float
    ladder: Ladder
    variance_ratio: dict[str, float]  # the variance after a level over σ², by variant
    history: dict[str, History]
    samples: dict[str, Sampled]
    held_out: np.ndarray  # (sets,), Fréchet distances of held-out images
    distance_changes: dict[str, Change]
    noise_changes: dict[str, Change]
    chains: Levels


def measure(
    run: Run[Config],
    data: Images,
    ladder: Ladder,
    unconditional: ScoreModel,
    conditional: ScoreModel,
    classifier: Classifier,
) -> Measured:
    """Sample every variant, and both networks by Heun's method; compare all with NCSNv2."""
    config, shape = run.config, data.train.images.shape[1:]
    sets, per_set = config.sets, config.samples
    keys = jax.random.split(jax.random.key(config.seed + 3), (sets, per_set))
    samplers = Samplers(ladder.process, unconditional.net, shape)
    chosen = variants(config, ladder, unconditional, conditional)
    whole = chosen[NCSN_V2]
    distance = FrechetDistance(classifier, data.train.images, data.held_out.images, per_set)

    def drawn(name: str, function: Callable[[jax.Array], np.ndarray]) -> np.ndarray:
        print(f"sampling: {name}")
        return np.stack([run.stage(f"samples/{name}/{i}", lambda i=i: function(keys[i])) for i in range(sets)])

    def described(chain: np.ndarray, images: np.ndarray, calls: int, settings: Settings | None = None) -> Sampled:
        distances, broken = (np.array([f(some) for some in images]) for f in (distance, noise_images))
        left = [np.array([remaining_noise(some) for some in of]) / ladder.last for of in (chain, images)]
        return Sampled(images[0, :SHOWN], distances, *left, broken, calls, settings)

    samples = {}
    for name, variant in chosen.items():
        # without the last denoising, the chains are NCSNv2's own
        chain = drawn(NCSN_V2 if name == NOT_DENOISED else name, partial(samplers.langevin, variant))
        images = chain
        if variant.final_denoising:
            images = np.stack([samplers.denoised(variant.model, variant.params, some) for some in chain])
        samples[name] = described(chain, images, variant.calls, settings_of(variant))
    times = ladder._replace(n=HEUN_STEPS).times(ladder.process)
    for name, model in ((HEUN, unconditional), (HEUN_CONDITIONAL, conditional)):
        end = drawn(name, partial(samplers.heun, model, times))
        images = np.stack([samplers.denoised(model, model.averaged, some) for some in end])
        samples[name] = described(end, images, 2 * HEUN_STEPS - 1)
    held_out = data.held_out.images[np.resize(np.arange(len(data.held_out)), (sets, per_set))]
    chains = run.stage("samples/chains", lambda: levels(samplers, whole, keys[0, :CHAINS]))
    return Measured(
        source=source(config),
        real=data.train.images[:60],
        train_count=len(data.train),
        trained_on=classifier.trained_on,
        examined=min(EXAMINED, len(data.train)),
        dims=data.train.images[0].size,
        gamma=ncsn.overlap_ratio(data.train.images[0].size),
        ladder=ladder,
        variance_ratio={name: chosen[name].variance_ratio for name in (NCSN_V2, OLD_STEP, HALF_STEP)},
        history={"NCSNv2: s(x)/σ": unconditional.history, "NCSN: s(x, σ)": conditional.history},
        samples=samples,
        held_out=np.array([distance(some) for some in held_out]),
        distance_changes=changes({name: of.distances for name, of in samples.items()}),
        noise_changes=changes({name: of.noise for name, of in samples.items()}),
        chains=chains,
    )


def settings_of(variant: Variant) -> Settings:
    """How a variant samples."""
    ladder = variant.ladder
    step_size = variant.step_size / ladder.last**2
    return Settings(ladder.first, ladder.n, variant.steps, step_size, variant.predicted_noise)


def changes(values: Mapping[str, np.ndarray]) -> dict[str, Change]:
    """The changes of values (sets,) from NCSNv2's, the largest first; lower values are better."""
    differences = {name: of - values[NCSN_V2] for name, of in values.items() if name != NCSN_V2}
    said = verdicts(differences)
    found = {name: Change(mean_and_error(of), said[name]) for name, of in differences.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1].difference.mean))


def levels(samplers: Samplers, variant: Variant, keys: jax.Array) -> Levels:
    """Chains from the prior's noise down to the denoised image, at about ten levels."""
    n = variant.ladder.n
    shown = np.linspace(0, n - 1, min(STATES, n)).round().astype(int)
    states = [np.asarray(x) for i, x in enumerate(samplers.states(variant, keys)) if i in shown or i == n]
    path = [*states[: len(shown) - 1], samplers.denoised(variant.model, variant.params, states[-1])]
    return Levels(variant.ladder.sigmas[shown], np.stack(path))

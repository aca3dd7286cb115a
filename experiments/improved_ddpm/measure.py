"""What the improved-DDPM exercise measures: numbers and images."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.improved_ddpm.config import Config
from experiments.improved_ddpm.measure_bound import Bounds, measure_bounds
from experiments.improved_ddpm.measure_samples import SampleSets, Skipping, Strided, skipping, strided
from experiments.improved_ddpm.objectives import schedules
from experiments.improved_ddpm.train import Trained, make_denoiser
from experiments.kit.classifier import Classifier
from experiments.kit.frechet import FrechetDistance
from experiments.kit.images import Images, source
from experiments.kit.run import Run
from jaxgen.diffusion import GaussianProcess, perturb
from jaxgen.training import History


class ForwardChain(NamedTuple):
    """The forward chain of a schedule.

    Attributes:
        shown: shares of the chain at which images are shown, (k,).
        path: images there, (k, 2, h, w, c).
        times: shares of the chain, (n,).
        signal: the signal's share ᾱ of the variance there, (n,).
        after_two_thirds: ᾱ after two thirds of the chain.
        until_1_percent: share of the chain after which less than 1 % is left.
    """

    shown: np.ndarray
    path: np.ndarray
    times: np.ndarray
    signal: np.ndarray
    after_two_thirds: float
    until_1_percent: float


class Measured(NamedTuple):
    """Everything the report shows."""

    source: str
    real: np.ndarray  # (60, h, w, c)
    train_count: int
    held_out_count: int  # of the held-out images whose Fréchet distance is known
    trained_on: str  # what the classifier was trained on
    forward: dict[str, ForwardChain]  # by schedule
    histories: dict[str, History]  # by network
    bounds: Bounds
    lengths: list[int]  # numbers of steps that are sampled, ascending
    floor: float  # Fréchet distance of held-out images
    samples: list[Strided]
    skipping: Skipping


def measure(
    run: Run[Config], data: Images, net: nn.Module, networks: Mapping[str, Trained], classifier: Classifier
) -> Measured:
    """Compare the networks by their bounds and their samples."""
    config, n = run.config, run.config.samples
    lengths = sorted(set(config.sampling_steps))
    denoisers = {learned: partial(make_denoiser, net, learned) for learned in (False, True)}
    bounds = measure_bounds(run, networks, denoisers, data.held_out.images[: config.bound_images])
    distance = FrechetDistance(classifier, data.train.images, data.held_out.images, n)
    sets = SampleSets(run, denoisers, data.train.images.shape[1:], distance)
    chains = {name: schedule.chain for name, schedule in schedules(config.timesteps).items()}
    return Measured(
        source=source(config),
        real=data.train.images[:60],
        train_count=len(data.train),
        held_out_count=min(n, len(data.held_out)),
        trained_on=classifier.trained_on,
        forward={name: forward_chain(chain, data.train.images[:2]) for name, chain in chains.items()},
        histories={name: of.history for name, of in networks.items()},
        bounds=bounds,
        lengths=lengths,
        floor=distance.floor,
        samples=strided(networks, sets, lengths),
        skipping=skipping(networks, sets, config, config.sampling_steps[-1]),
    )


def forward_chain(process: GaussianProcess, images: np.ndarray) -> ForwardChain:
    """The signal along a chain, and images on the way."""
    shown, times = np.linspace(0, 1, 11), np.linspace(0, 1, 201)
    eps = jax.random.normal(jax.random.key(2), images.shape)
    path = [np.clip(perturb(process, jnp.asarray(images), t, eps), -1, 1) for t in shown]
    signal = np.asarray(process.alpha(times), np.float64) ** 2
    return ForwardChain(
        shown,
        np.stack(path),
        times,
        signal,
        after_two_thirds=float(process.alpha(2 / 3)) ** 2,
        until_1_percent=float(times[np.argmax(signal < 0.01)]),
    )

"""The exam's first question: almost perfect likelihood with noise for samples, and good samples of poor likelihood."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.flows.config import Config
from experiments.flows.data import Data
from experiments.flows.measure_images import bound, draw
from experiments.flows.train import Model
from experiments.kit.frechet import FrechetDistance
from experiments.kit.levels import as_images, as_integers
from jaxgen.distributions import Gaussian, diagonal_mixture
from jaxgen.metrics import MeanAndError, bits_per_dim, mean_and_error

SHOWN = 20
BATCH = 50  # images whose distance to all training images is computed at once
KEPT = 2000  # training images that the memory keeps


class Judged(NamedTuple):
    """A model: its bits per dimension on held-out images, the distances of its samples to data, and some samples."""

    name: str
    bits: MeanAndError
    frechet: float  # in the classifier's features
    fixed: dict[str, float]  # in the fixed features that are at hand
    samples: np.ndarray


class Exam(NamedTuple):
    """The models, and what the noise costs.

    Attributes:
        flow: the flow at temperature 1.
        mixture: noise with a small share of the flow.
        memory: a narrow Gaussian around each training image.
        cost: bits per dimension that the mixture has more than the flow.
        largest_cost: −log₂(share of the flow)/dims, which the cost cannot exceed.
        floor: the Fréchet distance of held-out images.
        uniform: bits per dimension of uniform noise.
        noise_shown: number of the mixture's samples shown that are noise.
    """

    flow: Judged
    mixture: Judged
    memory: Judged
    cost: MeanAndError
    largest_cost: float
    floor: float
    uniform: float
    noise_shown: int


def exam(
    config: Config,
    data: Data,
    model: Model,
    distance: FrechetDistance,
    fixed: Mapping[str, Callable[[np.ndarray], float]],
) -> Exam:
    """Judge the flow and the two counterexamples; `fixed` are further distances of images to data, by name."""
    train, held_out = data.integers
    held_out, dims = held_out[: config.compared], int(np.prod(train.shape[1:]))
    key, rng, share = jax.random.key(config.seed + 3000), np.random.default_rng(config.seed), 1 - config.noise_share

    # each likelihood is a bound with one draw of uniform noise; the mixture's grows with that of its part
    of_flow = np.asarray(_bound(key, model.flow, model.params, held_out, data.levels), np.float64)
    of_noise = -dims * np.log(data.levels)
    of_mixture = np.logaddexp(np.log(share) + of_flow, np.log1p(-share) + of_noise)
    # so narrow that a draw is seldom rounded to another level
    kept = jnp.asarray((train[:KEPT] + 0.5) / data.levels, jnp.float32)
    memory = lambda means: diagonal_mixture(Gaussian(means, jnp.float32(0.2 / data.levels)))  # noqa: E731
    of_memory = np.asarray(_bound(key, memory, kept, held_out, data.levels), np.float64)

    n = len(held_out)
    drawn = draw(config, data, model, 1.0, n)
    is_noise = rng.random(n) < config.noise_share
    noise = as_images(rng.integers(0, data.levels, drawn.shape), data.levels)
    mixed = np.where(is_noise[:, None, None, None], noise, drawn)
    copies = 2 * np.asarray(memory(kept).sample(key, drawn.shape)) - 1
    copies = as_images(as_integers(copies, data.levels), data.levels)

    def judged(name, log_p, samples):
        others = {each: measure(samples) for each, measure in fixed.items()}
        return Judged(name, mean_and_error(bits_per_dim(log_p, dims)), distance(samples), others, samples[:SHOWN])

    return Exam(
        flow=judged("flow", of_flow, drawn),
        mixture=judged(f"{config.noise_share:.0%} noise, {share:.0%} flow", of_mixture, mixed),
        memory=judged("memory of training images", of_memory, copies),
        cost=mean_and_error(bits_per_dim(of_mixture - of_flow, dims)),
        largest_cost=float(-np.log2(share) / dims),
        floor=distance.floor,
        uniform=float(np.log2(data.levels)),
        noise_shown=int(is_noise[:SHOWN].sum()),
    )


def _bound(key, density, params, images, levels) -> np.ndarray:
    """The bounds of images, batch by batch."""
    starts = range(0, len(images), BATCH)
    return np.concatenate(
        [bound(density, jax.random.fold_in(key, i), params, images[i : i + BATCH], levels) for i in starts]
    )

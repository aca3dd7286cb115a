"""Bits per token, samples, and how near their statistics are to those of held-out data."""

from typing import NamedTuple

import jax
import numpy as np

from experiments.discrete import ngrams
from experiments.discrete.config import Config
from experiments.discrete.data import Tokens
from experiments.discrete.train import Model
from jaxgen import diffusion, discrete_diffusion
from jaxgen.data import decode_symbols
from jaxgen.metrics import MeanAndError, mean_and_error
from jaxgen.samplers import Sampler, sample

BATCH = 64
ORDER = 3  # symbols of the n-grams whose shares are compared


class ModelResults(NamedTuple):
    """What a chain does on a kind of data.

    Attributes:
        bits: its bound on held-out examples, in bits per token.
        samples: samples (n, *event) of the ancestral sampler.
        distance: how far the n-grams or patches of samples are from those of held-out data, in total variation.
        words: the share of words of the samples of text that occur in the training text; None for images.
    """

    bits: MeanAndError
    samples: np.ndarray
    distance: float
    words: float | None


class Baselines(NamedTuple):
    """What is known without a network.

    Attributes:
        bits: bits per token of n-gram models, by the length of their context.
        train_distance: `ModelResults.distance` of as many training examples.
        markov_distance: that of samples of the Markov chain of order 2; None for images.
        markov: samples of that chain; None for images.
        train_words: `ModelResults.words` of held-out windows; None for images.
        markov_words: that of the Markov chain; None for images.
    """

    bits: dict[int, MeanAndError]
    train_distance: float
    markov_distance: float | None
    markov: np.ndarray | None
    train_words: float | None
    markov_words: float | None


def samplers(config: Config, tokens: int) -> dict[str, tuple[Sampler, int]]:
    """The samplers of masked diffusion and their steps."""
    steps = config.sampling_steps
    return {
        "ancestral": (discrete_diffusion.ancestral(), steps),
        "remasking": (discrete_diffusion.remasking(1.0, cap=0.04), steps),
        "confidence order": (discrete_diffusion.confidence_order(4.0), steps),
        "first-hitting": (discrete_diffusion.first_hitting(), tokens),
    }


def draw(model: Model, sampler: Sampler, steps: int, n: int, event: tuple[int, ...], seed: int) -> np.ndarray:
    """Draw n samples in batches."""
    grid = diffusion.uniform_grid(steps)

    @jax.jit
    def run(params, keys):
        return sample(keys, model.process, model.denoise(params), sampler, grid, event)

    keys = jax.random.split(jax.random.key(seed), -(-n // BATCH) * BATCH)
    parts = [np.asarray(run(model.params, keys[i : i + BATCH])) for i in range(0, len(keys), BATCH)]
    return np.concatenate(parts)[:n]


def bound(config: Config, model: Model, x: np.ndarray) -> MeanAndError:
    """The bound in continuous time, in bits per token."""

    @jax.jit
    def run(params, keys, x):
        found = discrete_diffusion.continuous_bound(keys, model.process, model.denoise(params), x, draws=config.draws)
        return found.bits_per_token

    keys = jax.random.split(jax.random.key(config.seed + 3), len(x))
    parts = [run(model.params, keys[i : i + BATCH], x[i : i + BATCH]) for i in range(0, len(x), BATCH)]
    return mean_and_error(np.concatenate([np.asarray(part) for part in parts]))


def model_results(config: Config, kind: str, tokens: Tokens, model: Model) -> ModelResults:
    """Measure a chain."""
    n = config.text_samples if kind == "text" else config.samples
    sampler = discrete_diffusion.ancestral()
    samples = draw(model, sampler, config.sampling_steps, n, tokens.train.shape[1:], config.seed + 4)
    return ModelResults(
        bits=bound(config, model, tokens.held_out[: config.compared]),
        samples=samples,
        distance=distance(samples, tokens),
        words=share_of_words(samples, tokens.train) if kind == "text" else None,
    )


def baselines(config: Config, kind: str, tokens: Tokens) -> Baselines:
    """Measure n-gram models and training examples."""
    compared = tokens.held_out[: config.compared]
    longest = config.context - 1 if kind == "text" else len(ngrams.NEIGHBOURS)
    fitted = {length: ngrams.fit(tokens.train, length, tokens.categories) for length in range(longest + 1)}
    bits = {length: of.bits_per_token(compared) for length, of in fitted.items()}
    n = config.text_samples if kind == "text" else config.samples
    train_distance = distance(tokens.train[np.random.default_rng(0).choice(len(tokens.train), n)], tokens)
    if kind != "text":
        return Baselines(bits, train_distance, None, None, None, None)
    markov = fitted[2].draw(n, config.length, config.seed + 5)
    return Baselines(
        bits, train_distance, distance(markov, tokens), markov,
        share_of_words(tokens.held_out[:n], tokens.train), share_of_words(markov, tokens.train),
    )  # fmt: skip


def sampler_results(config: Config, tokens: Tokens, model: Model) -> dict[str, tuple[np.ndarray, float]]:
    """Samples of masked diffusion by each sampler, and their distances."""
    event = tokens.train.shape[1:]
    found = {
        name: draw(model, sampler, steps, config.samples, event, config.seed + 6)
        for name, (sampler, steps) in samplers(config, int(np.prod(event))).items()
    }
    return {name: (samples, distance(samples, tokens)) for name, samples in found.items()}


def distance(samples: np.ndarray, tokens: Tokens) -> float:
    """Half the sum of the differences between the shares of n-grams, or patches, of samples and of held-out data."""
    ours, theirs = (_codes(x, tokens.categories) for x in (samples, tokens.held_out))
    kinds, place = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
    place = place.reshape(-1)
    a, b = (np.bincount(part, minlength=len(kinds)) / len(part) for part in (place[: len(ours)], place[len(ours) :]))
    return float(np.abs(a - b).sum() / 2)


def _codes(x: np.ndarray, categories: int) -> np.ndarray:
    """A number for each run of ORDER symbols of text, or each 2 × 2 patch of an image."""
    if x.ndim == 2:
        windows = np.lib.stride_tricks.sliding_window_view(x, ORDER, axis=1).reshape(-1, ORDER)
    else:
        windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(1, 2)).reshape(-1, 4)
    return windows.astype(np.int64) @ categories ** np.arange(windows.shape[1], dtype=np.int64)


def share_of_words(samples: np.ndarray, train: np.ndarray) -> float:
    """The share of the words within windows, of at least 4 letters, that occur within windows of the training text."""
    known = set(_words(train))
    found = _words(samples)
    return float(np.mean([word in known for word in found])) if found else 0.0


def _words(windows: np.ndarray) -> list[str]:
    """Words that neither begin nor end with their window."""
    inner = (decode_symbols(window).split(" ")[1:-1] for window in windows)
    return [word for words in inner for word in words if len(word) >= 4]

"""Codes x(1) of images by the probability-flow ODE: of two networks, and what lies between two codes."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from experiments.kit.great_circle import great_circle
from experiments.kit.run import Run
from experiments.kit.score_model import Model
from experiments.score_sde.config import Config
from experiments.score_sde.ode import Flow
from jaxgen.data import dequantise
from jaxgen.diffusion import noise_grid, perturb

SIGMA_CODE = 0.05
SHOWN, SHARES = 8, 9


class Codes(NamedTuple):
    """Images with noise, their codes, what is decoded from them, and how codes correlate."""

    count: int
    entries: int  # of one code
    images: np.ndarray  # (8, h, w, c)
    first: np.ndarray  # (8, h, w, c), codes of the first network
    second: np.ndarray  # (8, h, w, c), of the network of another seed
    back: np.ndarray  # (8, h, w, c), the first network's codes decoded by it
    crossed: np.ndarray  # (8, h, w, c), the first network's codes decoded by the other
    same_image: np.ndarray  # (n,), correlation of an image's codes by both networks
    other_images: np.ndarray  # (n,), of codes of different images by both networks
    fresh_noise: np.ndarray  # (n,), of codes and fresh noise
    round_trip: float  # root-mean-square distance of an image to what its own code is decoded to
    between: np.ndarray  # (9, 4, h, w, c), images between pairs of images


def code_images(run: Run[Config], flow: Flow, model: Model, twin: Model, images: np.ndarray) -> Codes:
    """Encode uint8 images (n, h, w, c) by two networks, decode the codes, and decode what lies between them.

    Images carry the noise of SIGMA_CODE, from whose time the ODE starts: nearer to t = 0 a score changes too fast.
    """
    seed, tolerance = run.config.seed, run.config.tolerances[-1]
    t = float(noise_grid(model.process, np.array([SIGMA_CODE]))[0])

    def encode(model: Model, x: np.ndarray) -> np.ndarray:
        return flow(model, x, t, 1.0, tolerance).x

    def decode(model: Model, codes: np.ndarray) -> np.ndarray:
        return flow(model, codes, 1.0, t, tolerance).x

    x = run.stage("codes/images", lambda: noised(model, images, t, seed + 5))
    first = run.stage("codes/first", lambda: encode(model, x))
    second = run.stage("codes/second", lambda: encode(twin, x))
    back = run.stage("codes/back", lambda: decode(model, first))
    crossed = run.stage("codes/crossed", lambda: decode(twin, first))
    inner = run.stage("codes/between", lambda: in_batches(partial(decode, model), between(first[:SHOWN]), len(x)))
    ends = back[:SHOWN].reshape(2, 1, SHOWN // 2, *model.shape)
    fresh = np.asarray(jax.random.normal(jax.random.key(seed + 6), first.shape))
    return Codes(
        count=len(x),
        entries=first[0].size,
        images=x[:SHOWN],
        first=first[:SHOWN],
        second=second[:SHOWN],
        back=back[:SHOWN],
        crossed=crossed[:SHOWN],
        same_image=correlations(first, second),
        other_images=correlations(first, np.roll(second, 1, axis=0)),
        fresh_noise=correlations(first, fresh),
        round_trip=float(np.sqrt(np.mean((back - x) ** 2))),
        between=np.concatenate([ends[0], inner.reshape(SHARES - 2, SHOWN // 2, *model.shape), ends[1]]),
    )


def noised(model: Model, images: np.ndarray, t: float, seed: int) -> jax.Array:
    """uint8 images in [−1, 1], with the noise of t."""
    key, eps_key = jax.random.split(jax.random.key(seed))
    x0 = dequantise(jax.random.split(key, len(images)), images)
    return perturb(model.process, x0, t, jax.random.normal(eps_key, x0.shape))


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The correlation (n,) of the entries of each pair of (n, *event)."""
    return np.array([np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)])


def between(codes: np.ndarray) -> np.ndarray:
    """Seven points between code i and code i + n/2 of n codes, on a great circle: (7 n/2, *event)."""
    start, end = np.split(codes, 2)
    return np.concatenate([great_circle(start, end, share) for share in np.linspace(0, 1, SHARES)[1:-1]])


def in_batches(function, x: np.ndarray, size: int) -> np.ndarray:
    """function(x) in batches of one size, for which it is compiled already; the last is filled up with first rows."""
    count = -(-len(x) // size)
    filled = np.resize(x, (count * size, *x.shape[1:]))
    return np.concatenate([function(batch) for batch in np.split(filled, count)])[: len(x)]

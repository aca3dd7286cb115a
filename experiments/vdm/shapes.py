"""The shapes of γ between its ends: the learned one and three fixed ones, as one kind of process."""

from typing import Any

import jax.numpy as jnp

from jaxgen.core import PytreeDataclass
from jaxgen.diffusion import LearnedSchedule, cosine

FIXED = {
    "straight": lambda t: t,
    "bent": lambda t: t**3 + 0.2 * t,
    "cosine": lambda t: -cosine().log_snr(0.002 + 0.99 * t),
}
SHAPES = ("learned", *FIXED)


class WeightedShape(PytreeDataclass):
    """A weighted sum of a learned shape and of those of `FIXED`.

    The weights are an array, so processes of all shapes share what is compiled.
    """

    weights: Any  # (4,)
    learned: Any

    def __call__(self, t):
        """The sum at t."""
        return sum(self.weights[i] * shape(t) for i, shape in enumerate((self.learned, *FIXED.values())))


def with_shape(process: LearnedSchedule, name: str) -> LearnedSchedule:
    """The process with one of `SHAPES` between its ends; "learned" is its own."""
    learned = process.shape.learned if isinstance(process.shape, WeightedShape) else process.shape
    return process.replace(shape=WeightedShape(jnp.float32([name == other for other in SHAPES]), learned))

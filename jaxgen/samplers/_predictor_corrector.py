"""Predictor–corrector sampling (Song et al. 2021, algorithm 1)."""

from typing import Any, NamedTuple

import jax

from jaxgen.core import fold_in
from jaxgen.samplers.driver import Sampler


class _Carries(NamedTuple):
    predictor: Any
    corrector: Any


def _depth(carry: Any) -> int:
    """How many pairs lie within each other along the predictors."""
    return 1 + _depth(carry.predictor) if isinstance(carry, _Carries) else 0


def predictor_corrector(predictor: Sampler, corrector: Sampler) -> Sampler:
    """A step of any predictor from t to s, then one of any corrector at s (Song et al. 2021, algorithm 1).

    The corrector is a sampler that stays where it is, such as `langevin_corrector()`; it is left out where sigma_s = 0
    and the score is infinite. Calls are the sum of both. With no corrector steps the predictor's samples come out. A
    predictor may be such a pair itself: then its corrector and this one follow each other.
    """

    def init(x):
        return _Carries(predictor.init(x), corrector.init(x))

    def step(key, process, denoise, t, s, x, carry):
        depth, (first, second) = _depth(carry), carry  # a key of its own for every corrector of a nest
        predicted, first = predictor.step(key, process, denoise, t, s, x, first)
        predicted = predicted.astype(x.dtype)

        def correct():
            x, carry = corrector.step(fold_in(key, depth), process, denoise, s, s, predicted, second)
            return x.astype(predicted.dtype), carry

        corrected, second = jax.lax.cond(process.sigma(s) > 0, correct, lambda: (predicted, second))
        return corrected, _Carries(first, second)

    return Sampler(step, init)

"""Predictor–corrector sampling (Song et al. 2021)."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from jaxgen.core import fold_in
from jaxgen.samplers.driver import Sampler, check_sampler


@partial(jax.tree_util.register_dataclass, data_fields=["predictor", "corrector"], meta_fields=["fold"])
@dataclass(frozen=True)
class _Carry:
    predictor: Any
    corrector: Any
    fold: int  # index that the corrector's key is folded with: 1, and one more for each pair within the predictor


def predictor_corrector(predictor: Sampler, corrector: Sampler) -> Sampler:
    """A step of the predictor from t to s, then one of the corrector at s.

    The corrector is left out where sigma_s = 0, because the score is infinite there. The number of calls is the sum of
    both. With a corrector of no steps the predictor's samples come out.

    Args:
        predictor: any sampler. It may be such a pair itself; the two correctors then follow each other, each with its
            own noise.
        corrector: a sampler that stays at its time, such as `langevin_corrector()`.

    Raises:
        ValueError: unless both are samplers.

    Reference:
        Song et al. 2021, algorithm 1.
    """
    check_sampler(predictor)
    check_sampler(corrector)

    def init(x):
        first = predictor.init(x)
        return _Carry(first, corrector.init(x), 1 + (first.fold if isinstance(first, _Carry) else 0))

    def step(key, process, denoise, t, s, x, carry):
        # Predictor: x at t -> x at s
        x_s, first = predictor.step(key, process, denoise, t, s, x, carry.predictor)
        x_s = x_s.astype(x.dtype)

        # Corrector: x at s -> x at s
        def corrected():
            x, second = corrector.step(fold_in(key, carry.fold), process, denoise, s, s, x_s, carry.corrector)
            return x.astype(x_s.dtype), second

        x_s, second = jax.lax.cond(process.sigma(s) > 0, corrected, lambda: (x_s, carry.corrector))
        return x_s, _Carry(first, second, carry.fold)

    return Sampler(step, init)

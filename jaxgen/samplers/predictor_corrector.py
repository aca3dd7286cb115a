"""Predictor–corrector sampling (Song et al. 2021, algorithm 1)."""

import jax

from jaxgen.samplers.driver import Sampler, fold_in


def predictor_corrector(predictor: Sampler, corrector: Sampler) -> Sampler:
    """A step of any predictor from t to s, then one of any corrector at s (Song et al. 2021, algorithm 1).

    The corrector is a sampler that stays where it is, such as `langevin_corrector()`; it is left out where sigma_s = 0
    and the score is infinite. Calls are the sum of both. With no corrector steps the predictor's samples come out. A
    predictor may be such a pair itself: then its corrector and this one follow each other.
    """
    depth = 1 + getattr(predictor.step, "correctors", 0)

    def init(x):
        return predictor.init(x), corrector.init(x)

    def step(key, process, denoise, t, s, x, carry):
        first, second = carry
        predicted, first = predictor.step(key, process, denoise, t, s, x, first)
        predicted = predicted.astype(x.dtype)

        def correct():
            # a key of its own for every corrector of a nest
            x, carry = corrector.step(fold_in(key, depth), process, denoise, s, s, predicted, second)
            return x.astype(predicted.dtype), carry

        corrected, second = jax.lax.cond(process.sigma(s) > 0, correct, lambda: (predicted, second))
        return corrected, (first, second)

    step.correctors = depth
    return Sampler(step, init)

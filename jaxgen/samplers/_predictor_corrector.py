"""Predictor–corrector sampling (Song et al. 2021)."""

import jax

from jaxgen.core import fold_in
from jaxgen.samplers.driver import Sampler, check_sampler


def predictor_corrector(predictor: Sampler, corrector: Sampler) -> Sampler:
    """A step of the predictor from t to s, then one of the corrector at s.

    The corrector is left out where sigma_s = 0, because the score is infinite there. The number of calls is the sum of
    both. Each draws its noise from a key of its own, derived from the key of the step, so that pairs can be nested.

    Args:
        predictor: any sampler. It may be such a pair itself; the two correctors then follow each other.
        corrector: a sampler that stays at its time, such as `langevin_corrector()`.

    Returns:
        The sampler; its history is that of both.

    Raises:
        ValueError: unless both are samplers.

    Reference:
        Song et al. 2021, algorithm 1.
    """
    check_sampler(predictor)
    check_sampler(corrector)

    def init(x):
        return predictor.init(x), corrector.init(x)

    def step(key, process, denoise, t, s, x, carry):
        first, second = carry

        # Predictor: x at t -> x at s
        x_s, first = predictor.step(fold_in(key, 0), process, denoise, t, s, x, first)
        x_s = x_s.astype(x.dtype)

        # Corrector: x at s -> x at s
        def corrected():
            x, carry = corrector.step(fold_in(key, 1), process, denoise, s, s, x_s, second)
            return x.astype(x_s.dtype), carry

        x_s, second = jax.lax.cond(process.sigma(s) > 0, corrected, lambda: (x_s, second))
        return x_s, (first, second)

    return Sampler(step, init)

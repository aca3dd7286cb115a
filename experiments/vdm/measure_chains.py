"""The diffusion term of T steps, on the way to continuous time."""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from experiments.kit.statistics import verdict
from jaxgen.metrics import MeanAndError, mean_and_error


class Chain(NamedTuple):
    """The diffusion term of T steps in bits/dim, and its excess over that of continuous time on the same images."""

    diffusion: MeanAndError
    excess: MeanAndError


class Chains(NamedTuple):
    """The diffusion term by T, ascending; its limit; and the T up to which it falls with every T tried."""

    by_steps: dict[int, Chain]
    limit: MeanAndError
    falls_to: int


def compare(terms: Mapping[int, np.ndarray], limit: np.ndarray) -> Chains:
    """Compare diffusion terms of the same images.

    Args:
        terms: the term (images,) by T.
        limit: the term in continuous time, (images,).
    """
    terms = dict(sorted(terms.items()))
    by_steps = {steps: Chain(mean_and_error(term), mean_and_error(term - limit)) for steps, term in terms.items()}
    return Chains(by_steps, mean_and_error(limit), falls_to(terms))


def falls_to(terms: Mapping[int, np.ndarray]) -> int:
    """The largest T up to which each T, ascending, has a lower term than the one before, beyond chance."""
    reached = min(terms)
    for shorter, longer in pairwise(sorted(terms)):
        if verdict(terms[longer], terms[shorter]) != "better":
            break
        reached = longer
    return reached

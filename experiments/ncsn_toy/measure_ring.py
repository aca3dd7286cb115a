"""Scores on a ring: data on a curve have no score, so the loss of score matching has no least value."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.kit.plane import lattice
from experiments.kit.statistics import differ, over_repetitions
from experiments.kit.toy_sampling import learned_field
from experiments.kit.toy_training import Fit, ScoreNet
from experiments.ncsn_toy.measure_regions import ARROWS, relative_errors
from experiments.ncsn_toy.ring import least_loss, ring_score
from jaxgen.data import ring
from jaxgen.metrics import MeanAndError

LIMITS = (-1.6, 1.6)


class Noise(NamedTuple):
    """What trainings on the ring with one noise reach; means and standard errors are over trainings."""

    loss: MeanAndError  # mean of the last three points
    least_loss: float  # of any score, −∞ without noise
    pull: MeanAndError  # the length of the score just outside the ring
    fall: MeanAndError  # mean loss of the third quarter of the steps minus that of the last
    still_falls: bool  # whether the fall is positive beyond chance
    relative_error: MeanAndError | None = None  # on new draws; None without noise
    above_least: MeanAndError | None = None  # the loss on new draws above the least; None without noise


class Field(NamedTuple):
    """Scores at places about the ring, and data."""

    title: str
    data: np.ndarray  # (300, 2)
    score: np.ndarray  # (arrows, 2)


class Ring(NamedTuple):
    """Trainings on the ring by noise: what they reach, their losses and pulls, and three fields of scores."""

    noises: dict[float, Noise]
    steps: np.ndarray  # (points,)
    loss: dict[float, np.ndarray]  # (points,), mean over trainings
    pull: dict[float, np.ndarray]  # (points,)
    places: np.ndarray  # (arrows, 2)
    fields: list[Field]


def measure_ring(net: ScoreNet, fits: Mapping[float, Sequence[Fit]]) -> Ring:
    """Compare trainings on the ring, by noise, ascending from 0."""
    bare, noisy = min(fits), max(fits)
    places = lattice(LIMITS, ARROWS).reshape(-1, 2) + 1e-6  # at the very centre the exact score has no direction
    exact = np.asarray(ring_score(jnp.asarray(places, jnp.float32), noisy))
    data = {noise: np.asarray(ring(jax.random.key(1), 300, noise=noise)) for noise in (bare, noisy)}
    learned = {noise: learned_field(net, fits[noise][0].params, places) for noise in (bare, noisy)}

    def mean(name: str) -> dict[float, np.ndarray]:
        return {noise: np.mean([fit.followed[name] for fit in of], 0) for noise, of in fits.items()}

    return Ring(
        noises={noise: summary(net, of, noise) for noise, of in fits.items()},
        steps=fits[bare][0].steps,
        loss=mean("loss"),
        pull=mean("pull"),
        places=places,
        fields=[
            Field("learned on the bare ring", data[bare], learned[bare]),
            Field(f"learned with noise {noisy:g}", data[noisy], learned[noisy]),
            Field(f"exact with noise {noisy:g}", data[noisy], exact),
        ],
    )


def summary(net: ScoreNet, fits: Sequence[Fit], noise: float) -> Noise:
    """What trainings with one noise reach."""
    third, last = np.array([last_quarters(fit.followed["loss"]) for fit in fits]).T
    found = Noise(
        loss=over_repetitions([fit.followed["loss"][-3:].mean() for fit in fits]),
        least_loss=least_loss(noise),
        pull=over_repetitions([fit.followed["pull"][-1] for fit in fits]),
        fall=over_repetitions(third - last),
        still_falls=bool(third.mean() > last.mean()) and differ(third, last),
    )
    if not noise:
        return found
    x = ring(jax.random.key(2), 20_000, noise=noise)  # draws that no training saw
    of_q = np.asarray(ring_score(x, noise))
    errors = [learned_field(net, fit.params, x) - of_q for fit in fits]
    return found._replace(
        relative_error=relative_errors(errors, of_q, np.full(len(x), True)),
        # ½E‖s − ∇log q‖²
        above_least=over_repetitions([0.5 * np.mean(np.sum(error**2, -1)) for error in errors]),
    )


def last_quarters(losses: np.ndarray) -> tuple[float, float]:
    """Means of the last but one and of the last quarter of losses (n,), n ≥ 8."""
    quarter = len(losses) // 4
    return float(losses[-2 * quarter : -quarter].mean()), float(losses[-quarter:].mean())

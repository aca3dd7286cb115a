"""The networks of many noise levels, beside those of one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.gmm_scores.measure_scores import Field, field, rms
from experiments.gmm_scores.train import Ladders, Models
from experiments.kit.toy_sampling import exact_score, sample_mixture


class Curve(NamedTuple):
    """σ × the root mean square error under q at each σ, mean over seeds: the error in ε."""

    sigma: np.ndarray
    error: np.ndarray


class Reach(NamedTuple):
    """The error in ε of a network of one σ, at its own σ and at twice that."""

    sigma: float
    own: float
    twice: float


class ManyLevels(NamedTuple):
    """The networks of many levels, beside those of one level."""

    fields: list[Field]  # of the network from sigma_max to 1
    span: float  # largest over smallest root mean square length of the exact fields
    errors: dict[str, Curve]
    reach: list[Reach]
    worst: dict[str, float]  # largest error of each network of many levels


def many_levels(models: Models, ladders: Ladders, half: float, key: jax.Array) -> ManyLevels:
    """Measure the networks of many levels: fields on the square [−half, half]², and errors by σ."""
    last, first = float(ladders.short[-1]), float(ladders.short[0])
    shown = sorted({last, first, *(sigma for sigma in models.single if last < sigma < first)})
    fields = [field(models, models.short[0], sigma, half) for sigma in shown]
    errors = error_by_sigma(models, np.union1d(np.geomspace(ladders.full[-1], ladders.full[0], 21), 1.0), key)
    lengths = [rms(each.exact) for each in fields]
    return ManyLevels(
        fields=fields,
        span=max(lengths) / min(lengths),
        errors=errors,
        reach=[reach(errors[one_level_name(sigma)], sigma) for sigma in models.single],
        worst={name: float(curve.error.max()) for name, curve in errors.items() if name.startswith("all")},
    )


def one_level_name(sigma: float) -> str:
    """The name of the network of one level."""
    return f"σ = {sigma:g} only"


def error_by_sigma(models: Models, sigmas: np.ndarray, key: jax.Array, n: int = 2000) -> dict[str, Curve]:
    """The error in ε of every network at each σ.

    Args:
        models: the networks.
        sigmas: ascending levels. Networks of one level are also measured at their own σ and at twice that.
        key: one key, for the noised data.
        n: number of noised data.
    """
    eps_key, x_key = jax.random.split(key)
    x0, eps = sample_mixture(models.mixture, x_key, n), jax.random.normal(eps_key, (n, 2))
    exact = exact_score(models.mixture)

    @jax.jit
    def error_at(params, sigma, network_sigma):
        x = x0 + sigma * eps
        error = models.net.apply(params, x, network_sigma) - exact(x, sigma)
        return sigma * jnp.sqrt(jnp.mean(jnp.sum(error**2, -1)))

    def curve(fits, sigmas, own=None):
        errors = [[error_at(fit.params, float(s), float(s if own is None else own)) for s in sigmas] for fit in fits]
        return Curve(sigmas, np.mean(errors, 0))

    curves = {
        one_level_name(sigma): curve(fits, np.union1d(sigmas, [sigma, 2 * sigma]), sigma)
        for sigma, fits in models.single.items()
    }
    curves["all σ ≥ 1"] = curve(models.short, sigmas[sigmas >= 1 - 1e-6])
    curves[f"all σ ≥ {sigmas[0]:g}"] = curve(models.full, sigmas)
    return curves


def reach(curve: Curve, sigma: float) -> Reach:
    """The error at σ and at 2σ, both of which the curve has."""
    own, twice = curve.error[np.searchsorted(curve.sigma, [sigma, 2 * sigma])]
    return Reach(sigma, float(own), float(twice))

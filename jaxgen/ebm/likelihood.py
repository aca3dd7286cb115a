"""The likelihood of an energy-based model, by annealed importance sampling."""

from typing import NamedTuple

from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.distributions import Distribution
from jaxgen.ebm.energy import Energy, energies
from jaxgen.mcmc import LogNormalizer, Transition, annealed_importance_sampling, log_normalizer


class LogLikelihood(NamedTuple):
    """log p(x) = −E(x) − log Z.

    Attributes:
        values: log-densities in nats (B,).
        error: the standard error () of log Z, which all values share: it does not fall with more data.
    """

    values: Float[Array, " b"]
    error: Float[Array, ""]


def estimate_log_normalizer(
    keys: Key[Array, " b"],
    energy: Energy,
    reference: Distribution,
    shape: tuple[int, ...],
    *,
    transition: Transition,
    betas: Float[ArrayLike, " k_plus_1"],
    steps: int = 1,
) -> LogNormalizer:
    """Estimate log Z = log ∫ e^{−E(x)} dx by annealed importance sampling.

    The logarithm of an unbiased estimate is too small on average, so a log-likelihood by it is too large on average.
    Look at the error, and at the effective share: of one weight in a hundred or less, neither says much.

    Args:
        keys: typed keys (B,), one per sample; B ≥ 2.
        energy: E.
        reference: a normalised distribution that covers the model.
        shape: shape of one example.
        transition: makes the chain of a log-density and its β, such as `lambda p, beta: mcmc.mala(p, 0.1)`.
        betas: from 0 to 1, ascending, as in `mcmc.annealed_importance_sampling`.
        steps: steps ≥ 1 of the chain at each β.

    Returns:
        The estimate, its standard error and the effective share.

    Raises:
        ValueError: as `mcmc.annealed_importance_sampling` and `mcmc.log_normalizer` do.

    Reference:
        Neal 2001; Salakhutdinov & Murray 2008, "On the quantitative analysis of deep belief networks".
    """

    def log_density(x: Float[Array, "b *event"]) -> Float[Array, " b"]:
        return -energies(energy, x)

    found = annealed_importance_sampling(keys, transition, reference, log_density, shape, betas, steps=steps)
    return log_normalizer(found.log_weights)


def log_likelihood(energy: Energy, x: Float[Array, "b *event"], normalizer: LogNormalizer) -> LogLikelihood:
    """The log-likelihoods −E(x) − log Z of data, and the error that log Z brings.

    Args:
        energy: E.
        x: data (B, *event).
        normalizer: log Z, by `estimate_log_normalizer`.

    Returns:
        The log-likelihoods and their common error.

    Raises:
        ValueError: if the energy does not return one value per example.
    """
    return LogLikelihood(-energies(energy, x) - normalizer.value, normalizer.error)

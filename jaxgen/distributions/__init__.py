"""Distributions: Gaussians, mixtures with exact scores, priors over latents, variational families, likelihoods.

Everything that can be sampled and has a density is a `Distribution`; a `Family` is the conditional form.
"""

from jaxgen.distributions import likelihoods
from jaxgen.distributions.distribution import Distribution
from jaxgen.distributions.families import (
    Family,
    FullGaussianParams,
    GammaParams,
    MeanFieldParams,
    categorical,
    full_gaussian,
    full_gaussian_covariance,
    full_gaussian_params,
    gamma,
    mean_field_gaussian,
    positive,
    product,
)
from jaxgen.distributions.gaussian import Gaussian, at_least_float32, gaussian_kl, gaussian_kl_terms
from jaxgen.distributions.mixtures import GaussianMixture, random_mixture, song_ermon_mixture
from jaxgen.distributions.priors import (
    DiagonalMixture,
    StandardNormal,
    diagonal_mixture,
    init_pseudo_inputs,
    pseudo_inputs,
    standard_normal,
    vamp_prior,
)
from jaxgen.distributions.uniform import Uniform

__all__ = [
    "DiagonalMixture",
    "Distribution",
    "Family",
    "FullGaussianParams",
    "GammaParams",
    "Gaussian",
    "GaussianMixture",
    "MeanFieldParams",
    "StandardNormal",
    "Uniform",
    "at_least_float32",
    "categorical",
    "diagonal_mixture",
    "full_gaussian",
    "full_gaussian_covariance",
    "full_gaussian_params",
    "gamma",
    "gaussian_kl",
    "gaussian_kl_terms",
    "init_pseudo_inputs",
    "likelihoods",
    "mean_field_gaussian",
    "positive",
    "product",
    "pseudo_inputs",
    "random_mixture",
    "song_ermon_mixture",
    "standard_normal",
    "vamp_prior",
]

"""Likelihoods, functions (x, params) -> log p(x | params): what the decoder's output says of the data."""

from jaxgen.distributions.likelihoods._bernoulli import bernoulli
from jaxgen.distributions.likelihoods._gaussian import discretised_gaussian, gaussian, gaussian_softmax
from jaxgen.distributions.likelihoods.levels import Likelihood
from jaxgen.distributions.likelihoods.logistic import discretised_logistic

__all__ = ["Likelihood", "bernoulli", "discretised_gaussian", "discretised_logistic", "gaussian", "gaussian_softmax"]

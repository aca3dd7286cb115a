"""Decoders: (x, params) -> log p(x | params), from what a model says of the data, the last term of a bound."""

from jaxgen.decoder.bernoulli import bernoulli
from jaxgen.decoder.gaussian import categorical, density, discretised
from jaxgen.decoder.levels import Decoder
from jaxgen.decoder.logistic import discretised_logistic

__all__ = ["Decoder", "bernoulli", "categorical", "density", "discretised", "discretised_logistic"]

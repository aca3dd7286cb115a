"""Variational autoencoders: bounds and losses, priors, vector quantisation and sparse codes."""

from jaxgen.vae import codebook, sparse
from jaxgen.vae.codebook import Codebook
from jaxgen.vae.elbo import VAE, Elbo, elbo
from jaxgen.vae.importance import importance_weighted_bound, negative_log_likelihood
from jaxgen.vae.loss import vae_loss
from jaxgen.vae.priors import (
    Prior,
    free_pseudo_inputs,
    gaussian_mixture,
    pseudo_inputs,
    standard_normal,
    vamp_prior,
)
from jaxgen.vae.quantisation import Quantised, nearest_code, quantise, vq_vae_loss
from jaxgen.vae.sparse_loss import sc_vae_loss

__all__ = [
    "VAE",
    "Codebook",
    "Elbo",
    "Prior",
    "Quantised",
    "codebook",
    "elbo",
    "free_pseudo_inputs",
    "gaussian_mixture",
    "importance_weighted_bound",
    "nearest_code",
    "negative_log_likelihood",
    "pseudo_inputs",
    "quantise",
    "sc_vae_loss",
    "sparse",
    "standard_normal",
    "vae_loss",
    "vamp_prior",
    "vq_vae_loss",
]

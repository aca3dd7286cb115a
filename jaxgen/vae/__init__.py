"""Variational autoencoders: bounds and losses, vector quantisation and sparse codes."""

from jaxgen.vae import codebook, sparse
from jaxgen.vae._elbo import VAE, Elbo, elbo
from jaxgen.vae.codebook import Codebook
from jaxgen.vae.importance import importance_weighted_bound, negative_log_likelihood
from jaxgen.vae.loss import vae_loss
from jaxgen.vae.quantisation import Quantised, nearest_code, quantise, vq_vae_loss
from jaxgen.vae.sparse_loss import sc_vae_loss

__all__ = [
    "VAE",
    "Codebook",
    "Elbo",
    "Quantised",
    "codebook",
    "elbo",
    "importance_weighted_bound",
    "nearest_code",
    "negative_log_likelihood",
    "quantise",
    "sc_vae_loss",
    "sparse",
    "vae_loss",
    "vq_vae_loss",
]

"""Flax networks: time-conditioned MLP and U-Nets for the processes, a classifier and a reader of texts for judging."""

from jaxgen.nets.classifier import ConvClassifier
from jaxgen.nets.context_unet import ContextUNet
from jaxgen.nets.embedding import condition_vector, sinusoidal_embedding
from jaxgen.nets.mlp import MLP
from jaxgen.nets.recogniser import TextRecogniser
from jaxgen.nets.sequence import sequence_tokens
from jaxgen.nets.unet import UNet

__all__ = [
    "MLP",
    "ContextUNet",
    "ConvClassifier",
    "TextRecogniser",
    "UNet",
    "condition_vector",
    "sequence_tokens",
    "sinusoidal_embedding",
]

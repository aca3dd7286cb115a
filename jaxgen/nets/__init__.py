"""Flax networks: time-conditioned MLP and U-Nets, encoders and decoders, and classifiers of images and texts."""

from jaxgen.nets.classifiers import ConvClassifier, TextRecogniser
from jaxgen.nets.context_unet import ContextUNet
from jaxgen.nets.conv_autoencoder import ConvDecoder, ConvEncoder
from jaxgen.nets.embedding import condition_vector, sinusoidal_embedding
from jaxgen.nets.mlp import MLP
from jaxgen.nets.mlp_autoencoder import MLPDecoder, MLPEncoder
from jaxgen.nets.sequence import sequence_tokens
from jaxgen.nets.spatial_autoencoder import SpatialDecoder, SpatialEncoder
from jaxgen.nets.unet import UNet

__all__ = [
    "MLP",
    "ContextUNet",
    "ConvClassifier",
    "ConvDecoder",
    "ConvEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "SpatialDecoder",
    "SpatialEncoder",
    "TextRecogniser",
    "UNet",
    "condition_vector",
    "sequence_tokens",
    "sinusoidal_embedding",
]

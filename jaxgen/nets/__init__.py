"""Flax networks: time-conditioned MLP, U-Nets, autoencoders, generators and critics, energies, and classifiers."""

from jaxgen.nets.classifiers import ConvClassifier, TextRecogniser
from jaxgen.nets.context_unet import ContextUNet
from jaxgen.nets.conv_autoencoder import ConvDecoder, ConvEncoder
from jaxgen.nets.convolution import Conv
from jaxgen.nets.embedding import condition_vector, sinusoidal_embedding
from jaxgen.nets.energy_mlp import EnergyMLP
from jaxgen.nets.energy_residual import ResidualEnergy
from jaxgen.nets.gan_dcgan import DCGANCritic, DCGANGenerator
from jaxgen.nets.gan_denoising import DenoisingCritic, DenoisingGenerator
from jaxgen.nets.gan_layers import minibatch_std
from jaxgen.nets.gan_mlp import DenoisingMLPCritic, DenoisingMLPGenerator, MLPCritic, MLPGenerator
from jaxgen.nets.gan_residual import ResidualCritic, ResidualGenerator
from jaxgen.nets.mlp import MLP
from jaxgen.nets.mlp_autoencoder import MLPDecoder, MLPEncoder
from jaxgen.nets.sequence import sequence_tokens
from jaxgen.nets.spatial_autoencoder import SpatialDecoder, SpatialEncoder
from jaxgen.nets.unet import UNet

__all__ = [
    "MLP",
    "ContextUNet",
    "Conv",
    "ConvClassifier",
    "ConvDecoder",
    "ConvEncoder",
    "DCGANCritic",
    "DCGANGenerator",
    "DenoisingCritic",
    "DenoisingGenerator",
    "DenoisingMLPCritic",
    "DenoisingMLPGenerator",
    "EnergyMLP",
    "MLPCritic",
    "MLPDecoder",
    "MLPEncoder",
    "MLPGenerator",
    "ResidualCritic",
    "ResidualEnergy",
    "ResidualGenerator",
    "SpatialDecoder",
    "SpatialEncoder",
    "TextRecogniser",
    "UNet",
    "condition_vector",
    "minibatch_std",
    "sequence_tokens",
    "sinusoidal_embedding",
]

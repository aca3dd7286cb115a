"""Flax networks: time-conditioned MLP, U-Nets and transformers, autoencoders, generators and critics, and energies.

Also classifiers, the conditioners of flows, and networks with published weights, whose features never change.
"""

from jaxgen.nets.classifiers import ConvClassifier, TextRecogniser
from jaxgen.nets.conditioners import MADE, ConvConditioner, MLPConditioner
from jaxgen.nets.context_unet import ContextUNet
from jaxgen.nets.conv_autoencoder import ConvDecoder, ConvEncoder
from jaxgen.nets.convolution import Conv
from jaxgen.nets.efficientnet import EfficientNetFeatures, EfficientNetLite0, efficientnet_lite0
from jaxgen.nets.embedding import condition_vector, sinusoidal_embedding
from jaxgen.nets.energy_mlp import EnergyMLP
from jaxgen.nets.energy_residual import ResidualEnergy
from jaxgen.nets.fourier import fourier_features
from jaxgen.nets.gan_dcgan import DCGANCritic, DCGANGenerator
from jaxgen.nets.gan_denoising import DenoisingCritic, DenoisingGenerator
from jaxgen.nets.gan_layers import minibatch_std
from jaxgen.nets.gan_mlp import DenoisingMLPCritic, DenoisingMLPGenerator, MLPCritic, MLPGenerator
from jaxgen.nets.gan_residual import ResidualCritic, ResidualGenerator
from jaxgen.nets.inception import InceptionV3, inception_features
from jaxgen.nets.mlp import MLP
from jaxgen.nets.mlp_autoencoder import MLPDecoder, MLPEncoder
from jaxgen.nets.sequence import sequence_tokens
from jaxgen.nets.spatial_autoencoder import SpatialDecoder, SpatialEncoder
from jaxgen.nets.torch_files import UnreadableWeightsError, read_weights
from jaxgen.nets.transformer import DIT_SIZES, DiT, SequenceDiT, SetDiT
from jaxgen.nets.unet import UNet

__all__ = [
    "DIT_SIZES",
    "MADE",
    "MLP",
    "ContextUNet",
    "Conv",
    "ConvClassifier",
    "ConvConditioner",
    "ConvDecoder",
    "ConvEncoder",
    "DCGANCritic",
    "DCGANGenerator",
    "DenoisingCritic",
    "DenoisingGenerator",
    "DenoisingMLPCritic",
    "DenoisingMLPGenerator",
    "DiT",
    "EfficientNetFeatures",
    "EfficientNetLite0",
    "EnergyMLP",
    "InceptionV3",
    "MLPConditioner",
    "MLPCritic",
    "MLPDecoder",
    "MLPEncoder",
    "MLPGenerator",
    "ResidualCritic",
    "ResidualEnergy",
    "ResidualGenerator",
    "SequenceDiT",
    "SetDiT",
    "SpatialDecoder",
    "SpatialEncoder",
    "TextRecogniser",
    "UNet",
    "UnreadableWeightsError",
    "condition_vector",
    "efficientnet_lite0",
    "fourier_features",
    "inception_features",
    "minibatch_std",
    "read_weights",
    "sequence_tokens",
    "sinusoidal_embedding",
]

"""Flax networks: time-conditioned MLP and U-Nets for the processes, and a small classifier for the metrics."""

from jaxgen.nets.classifier import ConvClassifier
from jaxgen.nets.context_unet import ContextUNet
from jaxgen.nets.embedding import condition_vector, sinusoidal_embedding
from jaxgen.nets.mlp import MLP
from jaxgen.nets.unet import UNet

__all__ = ["MLP", "ContextUNet", "ConvClassifier", "UNet", "condition_vector", "sinusoidal_embedding"]

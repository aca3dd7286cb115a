"""Datasets rendered, loaded or drawn from a known density, splits and the input pipeline."""

from jaxgen.data.dataset import ImageDataset, to_float, to_uint8
from jaxgen.data.dequantise import dequantise
from jaxgen.data.files import load_images
from jaxgen.data.mixtures import GaussianMixture, seminar_mixture, student_mixture
from jaxgen.data.pipeline import Batches
from jaxgen.data.split import split_by_content
from jaxgen.data.sprites import render_sprites
from jaxgen.data.toys import checkerboard, moons, ring, spirals, swiss_roll

__all__ = [
    "Batches",
    "GaussianMixture",
    "ImageDataset",
    "checkerboard",
    "dequantise",
    "load_images",
    "moons",
    "render_sprites",
    "ring",
    "seminar_mixture",
    "spirals",
    "split_by_content",
    "student_mixture",
    "swiss_roll",
    "to_float",
    "to_uint8",
]

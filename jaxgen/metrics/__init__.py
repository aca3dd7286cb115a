"""Distances between two sets of images or points, over the features of any function, and bits per dimension."""

from jaxgen.metrics.bits import Estimate, bits_per_dim, dequantisation_offset, estimate
from jaxgen.metrics.features import extract
from jaxgen.metrics.frechet import Statistics, frechet_distance, merge, statistics
from jaxgen.metrics.kernel_distance import KernelDistance, kernel_distance
from jaxgen.metrics.mmd import median_distance, mmd_squared, polynomial_kernel, rbf_kernel
from jaxgen.metrics.precision_recall import PrecisionRecall, precision_recall

__all__ = [
    "Estimate",
    "KernelDistance",
    "PrecisionRecall",
    "Statistics",
    "bits_per_dim",
    "dequantisation_offset",
    "estimate",
    "extract",
    "frechet_distance",
    "kernel_distance",
    "median_distance",
    "merge",
    "mmd_squared",
    "polynomial_kernel",
    "precision_recall",
    "rbf_kernel",
    "statistics",
]

"""Distances between two sets of images or points, over the features of any function, and bits per dimension.

And what latent codes know of the factors behind the data: `binned_mig`, `posterior_mig`, `dci`, `sap`, `modularity`.
"""

from jaxgen.metrics.bits import Estimate, bits_per_dim, dequantisation_offset, estimate
from jaxgen.metrics.dci import DCI, dci, disentanglement_completeness
from jaxgen.metrics.features import extract
from jaxgen.metrics.frechet import Statistics, frechet_distance, merge, statistics
from jaxgen.metrics.kernel_distance import KernelDistance, kernel_distance
from jaxgen.metrics.mig import BinnedMIG, binned_mig
from jaxgen.metrics.mmd import median_distance, mmd_squared, polynomial_kernel, rbf_kernel
from jaxgen.metrics.modularity import modularity
from jaxgen.metrics.mutual_information import mutual_information
from jaxgen.metrics.posterior_mig import PosteriorMIG, posterior_mig
from jaxgen.metrics.precision_recall import PrecisionRecall, precision_recall
from jaxgen.metrics.sap import SAP, sap

__all__ = [
    "DCI",
    "SAP",
    "BinnedMIG",
    "Estimate",
    "KernelDistance",
    "PosteriorMIG",
    "PrecisionRecall",
    "Statistics",
    "binned_mig",
    "bits_per_dim",
    "dci",
    "dequantisation_offset",
    "disentanglement_completeness",
    "estimate",
    "extract",
    "frechet_distance",
    "kernel_distance",
    "median_distance",
    "merge",
    "mmd_squared",
    "modularity",
    "mutual_information",
    "polynomial_kernel",
    "posterior_mig",
    "precision_recall",
    "rbf_kernel",
    "sap",
    "statistics",
]

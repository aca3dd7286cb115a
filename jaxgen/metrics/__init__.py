"""Metrics over arrays of features, logits, log-likelihoods or latent codes.

Sample quality: Fréchet and kernel distances, precision and recall, maximum mean discrepancy, the classifier two-sample
test, coverage of known modes. Likelihood: bits per dimension. Disentanglement of latent codes: mutual information gaps,
DCI, SAP and modularity.
"""

from jaxgen.metrics._dci import DCI, dci, disentanglement_completeness
from jaxgen.metrics._posterior_mig import PosteriorMIG, posterior_mig
from jaxgen.metrics._sap import SAP, sap
from jaxgen.metrics.bits import MeanAndError, bits_per_dim, dequantisation_offset, mean_and_error
from jaxgen.metrics.features import apply_in_batches
from jaxgen.metrics.frechet import (
    FrechetStatistics,
    frechet_distance,
    frechet_statistics,
    merge_statistics,
    read_frechet_statistics,
    write_frechet_statistics,
)
from jaxgen.metrics.information import BinnedMIG, binned_mig, modularity, mutual_information
from jaxgen.metrics.kernels import (
    KernelDistance,
    kernel_distance,
    median_distance,
    mmd_squared,
    polynomial_kernel,
    rbf_kernel,
)
from jaxgen.metrics.modes import ModeCoverage, mode_coverage
from jaxgen.metrics.neighbors import PrecisionRecall, precision_recall
from jaxgen.metrics.two_sample import ConfidenceInterval, TwoSampleTest, classifier_two_sample_test

__all__ = [
    "DCI",
    "SAP",
    "BinnedMIG",
    "ConfidenceInterval",
    "FrechetStatistics",
    "KernelDistance",
    "MeanAndError",
    "ModeCoverage",
    "PosteriorMIG",
    "PrecisionRecall",
    "TwoSampleTest",
    "apply_in_batches",
    "binned_mig",
    "bits_per_dim",
    "classifier_two_sample_test",
    "dci",
    "dequantisation_offset",
    "disentanglement_completeness",
    "frechet_distance",
    "frechet_statistics",
    "kernel_distance",
    "mean_and_error",
    "median_distance",
    "merge_statistics",
    "mmd_squared",
    "mode_coverage",
    "modularity",
    "mutual_information",
    "polynomial_kernel",
    "posterior_mig",
    "precision_recall",
    "rbf_kernel",
    "read_frechet_statistics",
    "sap",
    "write_frechet_statistics",
]

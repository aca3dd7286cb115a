"""Any number of samples in batches, kept on disk, resumable."""

from jaxgen.generation._generate import generate

__all__ = ["generate"]

"""Readers of image and array files that treat every file as untrusted."""

from jaxgen.data.reading.load import load_images

__all__ = ["load_images"]

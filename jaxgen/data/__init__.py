"""Image datasets: rendered ones that need no download, loaders for real files, splits and the input pipeline."""

from jaxgen.data.dataset import ImageDataset, to_float, to_uint8
from jaxgen.data.files import load_images
from jaxgen.data.pipeline import Batches
from jaxgen.data.split import split_by_content
from jaxgen.data.sprites import render_sprites

__all__ = ["Batches", "ImageDataset", "load_images", "render_sprites", "split_by_content", "to_float", "to_uint8"]

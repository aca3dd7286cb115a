"""Image datasets: rendered ones that need no download, loaders for real files, splits and the input pipeline."""

from .dataset import ImageDataset, to_float, to_uint8
from .files import load_images
from .pipeline import Batches
from .split import split_by_content
from .sprites import render_sprites

__all__ = ["Batches", "ImageDataset", "load_images", "render_sprites", "split_by_content", "to_float", "to_uint8"]

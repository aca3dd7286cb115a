"""Pixel-art sprites rendered from the sheets of this package: a data set that needs no download."""

from jaxgen.data.sprites.render import render_sprites

__all__ = ["render_sprites"]

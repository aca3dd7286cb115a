"""Pixel-art sprites drawn by the library itself: a data set that needs no download."""

from jaxgen.data.sprites.render import render_sprites

__all__ = ["render_sprites"]

"""Pixel-art sprites drawn by the library itself: a data set that needs no download."""

from .render import render_sprites

__all__ = ["render_sprites"]

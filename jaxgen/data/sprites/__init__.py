"""Pixel-art sprites rendered from the sheets of this package: a data set that needs no download."""

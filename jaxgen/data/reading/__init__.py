"""Readers of image and array files that treat every file as untrusted."""

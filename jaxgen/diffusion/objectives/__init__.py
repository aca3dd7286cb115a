"""Losses, variational bounds, weights and the techniques of NCSN."""

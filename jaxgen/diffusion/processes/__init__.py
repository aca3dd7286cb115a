"""Gaussian processes: published schedules, discrete chains, learned schedules, and their kernels."""

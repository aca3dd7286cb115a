"""Markov chain Monte Carlo for any score: Langevin dynamics."""

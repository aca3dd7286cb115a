"""The probability-flow ODE, the reverse SDE, and exact likelihoods."""

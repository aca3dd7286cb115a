"""dSprites, the benchmark of disentanglement: rendered by index, or read from the published file."""

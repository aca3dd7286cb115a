"""From a network to a denoiser: predictions, clipping, guidance, inverse problems, the reverse kernel."""

"""Noise-contrastive estimation: the ratio of two densities from a classifier of their samples."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from jaxgen.ebm.energy import energies


def noise_contrastive_losses(
    logit: Callable[[Array], Array], x: Float[Array, "b *event"], noise: Float[Array, "b *event"]
) -> tuple[Float[Array, " b"], dict[str, Float[Array, " b"]]]:
    """Binary cross-entropy −log D(x) − log(1 − D(noise)) of a classifier D = sigmoid(logit).

    With as many draws of q as of p the best logit is log q(x)/p(x), which is log r = log D/(1 − D). So q ∝ e^{logit} p,
    the density whose energy relative to p is −logit.

    Args:
        logit: (B, *event) -> (B,).
        x: draws of q (B, *event), such as latents of an encoder (the aggregate posterior).
        noise: as many draws of p, such as of the VAE's prior.

    Returns:
        The losses (B,), and the metrics `data_logit` and `noise_logit` (B,).

    Raises:
        ValueError: if the shapes differ, or the logit does not return one value per example.

    Reference:
        Gutmann & Hyvärinen 2010, "Noise-contrastive estimation"; for priors: Aneja et al. 2021, "A contrastive learning
        approach for training variational autoencoder priors", eq. 6.
    """
    if x.shape != noise.shape:
        raise ValueError(f"data and noise need one shape, got {x.shape} and {noise.shape}")
    on_data, on_noise = energies(logit, x), energies(logit, noise)
    losses = jax.nn.softplus(-on_data) + jax.nn.softplus(on_noise)
    return losses, {"data_logit": on_data, "noise_logit": on_noise}

"""The last layer of an encoder, and scales that stay positive and finite."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.distributions import Gaussian


def scale_of(log_scale: Float[Array, "..."], low: float, high: float) -> Float[Array, "..."]:
    """exp(log_scale), held to [e^low, e^high], with a gradient also beyond: that of the end, which leads back."""
    held = jnp.clip(log_scale, low, high)
    return jnp.exp(log_scale + jax.lax.stop_gradient(held - log_scale))


class GaussianHead(nn.Module):
    """Linear maps of features (b, width) to the mean and the logarithm of the variance of a Gaussian (b, latent_dim).

    std = exp(½ log σ²) lies in [e⁻¹⁵, e¹⁰], so that no square of it leaves float32.
    """

    latent_dim: int

    @nn.compact
    def __call__(self, features: Float[Array, "b width"]) -> Gaussian:
        """Evaluate the layer, in float32 at least."""
        features = features.astype(jnp.promote_types(features.dtype, jnp.float32))
        mean = nn.Dense(self.latent_dim, name="mean")(features)
        log_variance = nn.Dense(self.latent_dim, name="log_variance")(features)
        return Gaussian(mean, scale_of(0.5 * log_variance, -15.0, 10.0))


def mean_and_scale(out: Float[Array, "b *event c2"]) -> Gaussian:
    """A mean and a scale in [e⁻⁷, e⁷] from the two halves of the last axis."""
    mean, log_scale = jnp.split(out, 2, axis=-1)
    return Gaussian(mean, scale_of(log_scale, -7.0, 7.0))


def latent_vectors(z: Float[Array, "b *d"]) -> Float[Array, "b d"]:
    """Latents as vectors, one for each example; raises ValueError for a z without axes beyond the batch."""
    if z.ndim < 2 or not jnp.issubdtype(z.dtype, jnp.floating):
        raise ValueError(f"expected floating-point latents (batch, …, d), got {z.dtype} of shape {z.shape}")
    return z.reshape(z.shape[0], -1)

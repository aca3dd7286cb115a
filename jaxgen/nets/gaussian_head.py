"""The last layers of encoders and decoders, with scales that stay positive and finite."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import as_float
from jaxgen.distributions import Gaussian


def bounded_exp(log_scale: Float[Array, "..."], low: float, high: float) -> Float[Array, "..."]:
    """Compute exp(log_scale) clipped to [e^low, e^high], with the gradient of the nearest end outside that range."""
    clipped = jnp.clip(log_scale, low, high)
    return jnp.exp(log_scale + jax.lax.stop_gradient(clipped - log_scale))


class GaussianHead(nn.Module):
    """Linear layers from features (b, width) to the mean and log-variance of a Gaussian (b, latent_dim).

    The std lies in [e⁻¹⁵, e¹⁰], so that its square fits in float32.
    """

    latent_dim: int

    @nn.compact
    def __call__(self, features: Float[Array, "b width"]) -> Gaussian:
        """Evaluate the layer, in float32 or higher."""
        features = as_float(features)
        mean = nn.Dense(self.latent_dim, name="mean")(features)
        log_variance = nn.Dense(self.latent_dim, name="log_variance")(features)
        return Gaussian(mean, bounded_exp(0.5 * log_variance, -15.0, 10.0))


def split_mean_and_scale(out: Float[Array, "b *event c2"]) -> Gaussian:
    """Split the last axis into a mean and a log-scale; the scale lies in [e⁻⁷, e⁷]."""
    mean, log_scale = jnp.split(out, 2, axis=-1)
    return Gaussian(mean, bounded_exp(log_scale, -7.0, 7.0))


def flatten_latents(z: Float[Array, "b *d"]) -> Float[Array, "b d"]:
    """Flatten each latent to a vector; raise ValueError unless z is floating point with an axis beyond the batch."""
    if z.ndim < 2 or not jnp.issubdtype(z.dtype, jnp.floating):
        raise ValueError(f"expected floating-point latents (batch, …, d), got {z.dtype} of shape {z.shape}")
    return z.reshape(z.shape[0], -1)

"""Diagonal Gaussians and their Kullback–Leibler divergence."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.core import noise


class Gaussian(NamedTuple):
    """A `Distribution` with independent Gaussian coordinates; `std` broadcasts against `mean`."""

    mean: Array
    std: Array

    def sample(self, key: Key[Array, "..."], shape: tuple[int, ...] | None = None) -> Float[Array, "b *event"]:
        """Draw mean + std · eps, differentiable in both (Kingma & Welling 2014, §2.4).

        Args:
            key: one key for the whole batch, or keys (B,), in which case row b depends on key[b] alone.
            shape: the shape (B, *event) of the result, to which mean and std broadcast. By default it is theirs: one
                draw for each Gaussian of the batch.

        Returns:
            The samples, in the dtype of the mean or float32.
        """
        mean, std = at_least_float32(self)
        shape = jnp.broadcast_shapes(mean.shape, std.shape) if shape is None else shape
        eps = noise(key, shape[1:], mean.dtype) if key.ndim else jax.random.normal(key, shape, mean.dtype)
        return mean + std * eps

    def log_density(self, x: Float[Array, "b *event"]) -> Float[Array, " b"]:
        """Evaluate log N(x; mean, std²) in nats, summed over the event; std must be positive.

        Args:
            x: points (B, *event), against which mean and std broadcast.

        Returns:
            The log-densities (B,), in the dtype of the mean or float32.
        """
        mean, std = at_least_float32(self)
        terms = -0.5 * ((x.astype(mean.dtype) - mean) / std) ** 2 - jnp.log(std) - 0.5 * math.log(2 * math.pi)
        return terms.reshape(len(terms), -1).sum(-1)


def at_least_float32(gaussian: Gaussian) -> Gaussian:
    """Convert mean and std to the dtype of the mean, or to float32 if that is narrower.

    Args:
        gaussian: a Gaussian, or a pair (mean, std), of any shape.

    Returns:
        The Gaussian in that dtype.
    """
    mean, std = gaussian
    mean = jnp.asarray(mean)
    dtype = jnp.promote_types(mean.dtype, jnp.float32)
    return Gaussian(mean.astype(dtype), jnp.asarray(std).astype(dtype))


def gaussian_kl_terms(p: Gaussian, q: Gaussian) -> Float[Array, "b *event"]:
    """KL(p ‖ q) in nats of every coordinate of two diagonal Gaussians (Kingma & Welling 2014, appendix B).

    Args:
        p: the Gaussian under which the mean is taken.
        q: the other Gaussian, of a shape that broadcasts with p's. All stds must be positive: a std of 0 gives NaN.

    Returns:
        The divergences (B, *event), of the broadcast shape.
    """
    mean_p, std_p, mean_q, std_q = jnp.broadcast_arrays(p.mean, p.std, q.mean, q.std)
    log_ratio = 2 * (jnp.log(std_p) - jnp.log(std_q))
    return 0.5 * (jnp.expm1(log_ratio) - log_ratio + ((mean_p - mean_q) / std_q) ** 2)


def gaussian_kl(p: Gaussian, q: Gaussian) -> Float[Array, " b"]:
    """KL(p ‖ q) in nats of two diagonal Gaussians: `gaussian_kl_terms` summed over all but the first axis.

    Args:
        p: as in `gaussian_kl_terms`.
        q: as in `gaussian_kl_terms`.

    Returns:
        The divergences (B,).
    """
    kl = gaussian_kl_terms(p, q)
    return kl.reshape(kl.shape[0], -1).sum(-1)

"""A flow: the distribution of x = f⁻¹(z) for a bijection f and latents z of a base distribution."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import check_positive
from jaxgen.distributions import Distribution
from jaxgen.flows.bijections import Bijection, as_batch


class Flow(NamedTuple):
    """The distribution of x = f⁻¹(z), with log p(x) = log p_z(f(x)) + log|det ∂f/∂x|. It is a `Distribution`.

    Args:
        bijection: the bijection f.
        base: the `Distribution` of z, such as `distributions.standard_normal()`.

    Reference:
        Rezende & Mohamed 2015, "Variational inference with normalizing flows", eq. 5.

    Example:
        >>> flow = flows.Flow(flows.chain(layers), distributions.standard_normal())
        >>> loss = -flow.log_density(x)
    """

    bijection: Bijection
    base: Distribution

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "b *event"]:
        """Draw samples.

        Args:
            key: one key.
            shape: the shape (B, *event) of the result.

        Returns:
            The samples.

        Raises:
            ValueError: if the bijection's inverse does not lead back to this shape.
        """
        return self.sample_with_log_density(key, shape)[0]

    def sample_with_log_density(
        self, key: Key[Array, ""], shape: tuple[int, ...]
    ) -> tuple[Float[Array, "b *event"], Float[Array, " b"]]:
        """Draw samples and evaluate their log-density at no further cost.

        Args:
            key: one key.
            shape: the shape (B, *event) of the samples.

        Returns:
            The samples, and log p of each in nats (B,).

        Raises:
            ValueError: if the bijection's inverse does not lead back to this shape.
        """
        shape = tuple(shape)
        latent = jax.eval_shape(self.bijection.forward, jax.ShapeDtypeStruct(shape, jnp.float32))[0].shape
        z = self.base.sample(key, latent)
        x, log_det = self.bijection.inverse(z)
        if x.shape != shape:
            raise ValueError(f"the bijection maps {shape} to {latent}, and back to {x.shape}: it is no bijection")
        return x, self.base.log_density(z) - log_det

    def log_density(self, x: Float[Array, "b *event"]) -> Float[Array, " b"]:
        """Evaluate log p(x) in nats.

        Args:
            x: points (B, *event).

        Returns:
            The log-densities (B,).
        """
        z, log_det = self.bijection.forward(x)
        return self.base.log_density(z) + log_det


class Tempered(NamedTuple):
    """The `Distribution` of T z for z of another one; made by `tempered`."""

    base: Distribution
    temperature: ArrayLike

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "b *event"]:
        """Draw samples.

        Args:
            key: one key.
            shape: the shape (B, *event) of the result.

        Returns:
            The samples.
        """
        return self.temperature * self.base.sample(key, shape)

    def log_density(self, z: Float[Array, "b *event"]) -> Float[Array, " b"]:
        """Evaluate the log-density in nats.

        Args:
            z: points (B, *event).

        Returns:
            The log-densities (B,).
        """
        z = as_batch(z)
        return self.base.log_density(z / self.temperature) - math.prod(z.shape[1:]) * jnp.log(self.temperature)


def tempered(flow: Flow, temperature: ArrayLike) -> Flow:
    """The flow whose latents are multiplied by a temperature T.

    Its samples are f⁻¹(T z). T < 1 draws them from where the density of z is high. For a bijection of constant
    log-determinant, whose couplings only add, the density is proportional to p(x)^(1/T²).

    Args:
        flow: the flow.
        temperature: T > 0, (); it may be traced. 1 changes nothing.

    Returns:
        The flow, whose `log_density` is that of its samples.

    Raises:
        ValueError: if a concrete temperature is not positive and finite.

    Reference:
        Kingma & Dhariwal 2018, "Glow", §5.
    """
    check_positive(temperature=temperature)
    return Flow(flow.bijection, Tempered(flow.base, temperature))

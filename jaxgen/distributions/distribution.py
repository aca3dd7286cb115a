"""The interface that every distribution of the library has."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float, Key


@runtime_checkable
class Distribution(Protocol):
    """A distribution that can be sampled and whose log-density is known.

    `Gaussian`, `GaussianMixture`, `standard_normal()`, `diagonal_mixture()` and `vamp_prior()` have this interface, and
    any object with these two methods can take their place, for instance as the prior of a `jaxgen.vae.VAE`. A prior may
    also have a method `kl(q) -> (B, *d)`, the Kullback–Leibler divergence from a `Gaussian` in closed form.
    """

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "b *event"]:
        """Draw a batch of samples.

        Args:
            key: one typed key.
            shape: the shape (B, *event) of the result.

        Returns:
            The samples.
        """
        ...

    def log_density(self, x: Float[Array, "b *event"]) -> Float[Array, " b"]:
        """Evaluate the log-density in nats, summed over the event.

        Args:
            x: points (B, *event).

        Returns:
            The log-densities (B,).
        """
        ...

"""The uniform distribution on a box."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import PytreeDataclass, is_traced


class Uniform(PytreeDataclass):
    """The `Distribution` that is uniform on the box low ≤ x ≤ high, over arrays of any shape.

    Args:
        low: the smallest values: a number, or an array that broadcasts to the event.
        high: the largest values, likewise.

    Raises:
        ValueError: unless low < high, both finite. Traced values are not checked.

    Example:
        >>> distributions.Uniform(-1.0, 1.0).sample(key, (10, 2))
    """

    low: ArrayLike = 0.0
    high: ArrayLike = 1.0

    def __post_init__(self):
        if is_traced((self.low, self.high)):
            return
        low, high = np.asarray(self.low), np.asarray(self.high)
        if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high)) and np.all(low < high)):
            raise ValueError(f"need finite low < high, got low={self.low} and high={self.high}")

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "b *event"]:
        """Draw samples.

        Args:
            key: one key.
            shape: the shape (B, *event) of the result.

        Returns:
            The samples.
        """
        return jax.random.uniform(key, shape, minval=self.low, maxval=self.high)

    def log_density(self, x: Float[Array, "b *event"]) -> Float[Array, " b"]:
        """Evaluate the log-density in nats: −Σ log(high − low) within the box, and −∞ outside.

        Args:
            x: points (B, *event).

        Returns:
            The log-densities (B,).
        """
        low, high = jnp.asarray(self.low, x.dtype), jnp.asarray(self.high, x.dtype)
        terms = jnp.where((x >= low) & (x <= high), -jnp.log(high - low), -jnp.inf)
        return terms.reshape(len(x), -1).sum(-1)

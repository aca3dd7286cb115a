"""The three SDEs of Song et al. 2021, as processes of one type."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxgen.core import is_traced
from jaxgen.diffusion import GaussianProcess, sub_vp, ve, vp


class OneOf(GaussianProcess):
    """One of several processes, chosen by its index.

    All choices have one structure as a pytree, so a function that takes the process as an argument is compiled once for
    all of them.
    """

    members: Any  # tuple of processes
    index: Any

    def alpha(self, t: ArrayLike) -> jax.Array:
        """alpha(t) of the chosen process."""
        return self._chosen(lambda process: process.alpha(t))

    def sigma(self, t: ArrayLike) -> jax.Array:
        """sigma(t) of the chosen process."""
        return self._chosen(lambda process: process.sigma(t))

    @property
    def prior_std(self) -> jax.Array:
        """Standard deviation of the chosen process's prior."""
        return self._chosen(lambda process: jnp.asarray(process.prior_std, jnp.float32))

    def log_alpha(self, t: ArrayLike) -> jax.Array:
        """log alpha(t) of the chosen process."""
        return self._chosen(lambda process: process.log_alpha(t))

    def variance(self, t: ArrayLike) -> jax.Array:
        """sigma(t)² of the chosen process."""
        return self._chosen(lambda process: process.variance(t))

    def time_at_log_snr(self, log_snr: ArrayLike) -> jax.Array:
        """The t at which the chosen process's log-SNR is log_snr."""
        return self._chosen(lambda process: process.time_at_log_snr(log_snr))

    def _chosen(self, function: Callable[[GaussianProcess], jax.Array]) -> jax.Array:
        if not is_traced(self.index):
            return function(self.members[int(self.index)])
        return jax.lax.select_n(jnp.asarray(self.index, jnp.int32), *map(function, self.members))


def three_processes() -> dict[str, OneOf]:
    """VE, VP and sub-VP with the constants of the paper, but VE as wide as EDM's levels.

    Images on white are far from centred: the prior must hide their mean, of norm 13 in 16×16×3, as well as their
    largest distance, which NCSNv2's rule takes for VE's largest sigma.
    """
    members = {"VE": ve(0.01, 80.0), "VP": vp(), "sub-VP": sub_vp()}
    return {name: OneOf(tuple(members.values()), index) for index, name in enumerate(members)}

"""The noise levels σ₁ > … > σ_L, and how NCSNv2 chooses them."""

from typing import NamedTuple

import jax
import numpy as np

from experiments.kit.run import Run
from experiments.ncsn.config import Config
from jaxgen.diffusion import GaussianProcess, ncsn, noise_grid, ve

EXAMINED = 5000  # images whose distances give σ₁


class Ladder(NamedTuple):
    """n noise levels in geometric progression from `first` to `last`."""

    first: float
    last: float
    n: int

    @property
    def gamma(self) -> float:
        """The ratio of neighbouring levels."""
        return (self.first / self.last) ** (1 / (self.n - 1))

    @property
    def process(self) -> GaussianProcess:
        """The variance-exploding process between the last and the first level."""
        return ve(self.last, self.first)

    @property
    def sigmas(self) -> np.ndarray:
        """The levels (n,)."""
        return ncsn.geometric_sigmas(self.first, self.last, self.n)

    def times(self, process: GaussianProcess) -> np.ndarray:
        """The times (n,) at which a process has these levels."""
        return noise_grid(process, self.sigmas)


def choose_ladder(run: Run[Config], images: np.ndarray) -> Ladder:
    """Choose σ₁ as the largest distance between images (technique 1), and the ratio γ by the overlap (technique 2)."""
    config = run.config
    # the farthest pair is white against black: a subset finds nearly the same distance
    subset, key = min(EXAMINED, len(images)), jax.random.key(config.seed)
    first = run.stage("sigma_first", lambda: float(ncsn.max_pairwise_distance(images, subset=subset, key=key)))
    gamma = ncsn.overlap_ratio(images[0].size)
    return Ladder(first, config.sigma_last, ncsn.num_noise_levels(first, config.sigma_last, gamma))

"""The Gamma–exponential model: the θ of the best Gamma(2, θ), against x + 1."""

from typing import NamedTuple

import numpy as np

from jaxgen.variational import gamma_exponential

OBSERVED = (0.5, 1.0, 4.0)


class Toy(NamedTuple):
    """Variational inference of z for one datum x, by a search through a grid of θ."""

    x: float
    theta: np.ndarray  # (k,)
    kl: np.ndarray  # (k,), KL(Gamma(2, θ) ‖ p(z | x)) in nats
    gap: float  # log p(x) minus the ELBO at x + 1

    @property
    def best(self) -> float:
        """The θ of the smallest divergence."""
        return float(self.theta[self.kl.argmin()])


def toys() -> list[Toy]:
    """The divergence along θ for each datum; float64 must be enabled."""
    found = []
    for x in OBSERVED:
        theta = np.geomspace(0.8, 12, 4001)
        kl = np.asarray(gamma_exponential.kl(gamma_exponential.Gamma(2.0, theta), gamma_exponential.posterior(x)))
        bound = gamma_exponential.elbo(x, gamma_exponential.Gamma(2.0, x + 1))
        found.append(Toy(x, theta, kl, float(gamma_exponential.log_evidence(x) - bound)))
    return found

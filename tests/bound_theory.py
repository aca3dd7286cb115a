"""The terms of the discrete bound on Gaussian data, in closed form."""

import jax
import numpy as np

MEAN, STD = 0.3, 0.5
VARIANCES = ("fixed_small", "fixed_large", "learned")


def data(n, event=(1,), std=STD, seed=5):
    """Draws (n, *event) of N(MEAN, std²)."""
    return MEAN + std * jax.random.normal(jax.random.key(seed), (n, *event))


class Theory:
    """Expected terms per dimension of the exact denoiser of N(MEAN, std²), in float64 from alpha and sigma² alone."""

    def __init__(self, process, grid, std=STD):
        self.process, self.std = process, std
        times = grid[:-1]
        alpha, variance = np.float64(process.alpha(times)), np.float64(process.variance(times))
        # Var(x0 | x_t), and the information that x_t holds of x0
        self.residual = std**2 * variance / (alpha**2 * std**2 + variance)
        self.information = 0.5 * np.log1p(std**2 * alpha**2 / variance)
        (a_t, a_s), (v_t, v_s) = (alpha[:-1], alpha[1:]), (variance[:-1], variance[1:])
        snr = alpha**2 / variance
        self.snr_gap, self.beta = snr[1:] - snr[:-1], v_t - (a_t / a_s) ** 2 * v_s
        self.posterior = v_s * self.beta / v_t
        # Var(x_s | x_t) of the data: the posterior's variance and that of its mean
        self.true = self.posterior + (a_s * self.beta / v_t) ** 2 * self.residual[:-1]
        # of the last step: β̃ of the one before, sigma², and Var(x0 | x_t1)
        self.last = self.posterior[-1], variance[-1], self.residual[-1]
        spread = np.float64(process.prior_std) * np.sqrt(variance[0] / np.float64(process.variance(1.0)))
        second = (alpha[0] ** 2 * (MEAN**2 + std**2) + variance[0]) / spread**2
        self.prior = 0.5 * (second - 1 - np.log(variance[0] / spread**2))
        # KL of the diffused data from the prior
        ratio = (alpha[0] ** 2 * std**2 + variance[0]) / spread**2
        self.mismatch = 0.5 * (second - 1 - np.log(ratio))

    def fractions(self):
        """The learned fraction that makes every step's variance the true one, from the noisiest to the cleanest."""
        small, large, true = (
            np.append(*pair) for pair in zip((self.posterior, self.beta, self.true), self.last, strict=True)
        )
        return np.log(true / small) / np.log(large / small)

    def transitions(self, variance):
        if variance == "learned":
            return 0.5 * np.log(self.true / self.posterior)
        model = self.posterior if variance == "fixed_small" else self.beta
        return 0.5 * (np.log(model / self.posterior) + self.true / model - 1)

    def reconstruction(self, variance):
        model = self.last[VARIANCES.index(variance)]
        return 0.5 * np.log(2 * np.pi * model) + self.last[2] / (2 * model)

    def total(self, variance):
        return self.prior + self.transitions(variance).sum() + self.reconstruction(variance)

"""The ladder of noise levels of diffusion recovery likelihood."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from jaxgen.core import PytreeDataclass, check_positive, is_traced
from jaxgen.diffusion import GaussianProcess, from_betas, linear_betas, transition


class RecoveryLadder(PytreeDataclass):
    """Noise levels 0, 1/T, …, 1 of a discrete process, with the step size of Langevin dynamics between neighbours.

    Between s = t − 1/T and t data are noised as x_t = y + σ ε with y = α_{t|s} x_s and σ = σ_{t|s}. An energy E(y, s),
    where e^{−E(·, s)} ∝ the density of y, gives the reverse kernel

        p(y | x_t) ∝ exp(−E(y, s) − ‖y − x_t‖²/2σ²)

    It is a `Process` of `samplers.sample`, whose denoiser is the energy (y, s) -> (B,).

    Attributes:
        process: the discrete process of T steps, such as `diffusion.from_betas(betas)`.
        step_sizes: ε (T,) of the Langevin dynamics from t = k/T, k = 1 … T.
    """

    process: GaussianProcess
    step_sizes: Any

    def __post_init__(self):
        steps = self.process.steps
        if steps is None:
            raise ValueError("a ladder needs a discrete process, such as diffusion.from_betas(betas)")
        if np.shape(self.step_sizes) != (steps,):
            raise ValueError(f"a process of {steps} steps needs as many step sizes, got {np.shape(self.step_sizes)}")
        check_positive(step_sizes=self.step_sizes)

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return self.process.steps

    def sample_prior(self, keys: Array, shape: tuple[int, ...], t: ArrayLike) -> Float[Array, "b *event"]:
        """Draw the noise from which sampling starts.

        Args:
            keys: keys (B,).
            shape: event shape.
            t: time (), 1 for the whole ladder.

        Returns:
            The noise (B, *shape).
        """
        return self.process.sample_prior(keys, shape, t)

    def before(self, t: ArrayLike) -> Float[Array, "..."]:
        """The time s = t − 1/T of the level below t, exactly a multiple of 1/T.

        Args:
            t: times 1/T, …, 1 of any shape.

        Returns:
            The times, of t's shape.
        """
        return (jnp.round(jnp.asarray(t) * self.steps) - 1) / self.steps

    def step_size(self, t: ArrayLike) -> Float[Array, "..."]:
        """The step size ε of Langevin dynamics from t.

        Args:
            t: times 1/T, …, 1 of any shape.

        Returns:
            ε, of t's shape.
        """
        index = jnp.round(jnp.asarray(t) * self.steps).astype(jnp.int32) - 1
        return jnp.asarray(self.step_sizes)[index]

    def transition(self, t: ArrayLike) -> tuple[Array, Array]:
        """The noise from the level below t to t: α_{t|s} and the variance σ².

        Args:
            t: times 1/T, …, 1 of any shape.

        Returns:
            A pair (alpha, variance), both of t's shape.
        """
        return transition(self.process, self.before(t), t)

    @property
    def published_weights(self) -> Float[Array, " steps"]:
        """The weights (T,) of the paper's loss, ε_k σ_{1|0}/σ_k: it drops 1/ε of the energy and then divides by σ."""
        std = jnp.sqrt(self.transition(jnp.arange(1, self.steps + 1) / self.steps).variance)
        return jnp.asarray(self.step_sizes) * std[0] / std


def recovery_ladder(process: GaussianProcess, step_sizes: Float[ArrayLike, " steps"]) -> RecoveryLadder:
    """Make a ladder of a discrete process and the step sizes of its Langevin dynamics.

    A step size should be a fraction of the variance of p(y | x_t), which is below both σ²_{t|s} and the variance of y.

    Args:
        process: a discrete process of T steps, such as `diffusion.from_betas(betas)`.
        step_sizes: ε (T,), positive, from the cleanest level on.

    Returns:
        The ladder.

    Raises:
        ValueError: if the process is not discrete, or step_sizes are not T positive numbers.
    """
    return RecoveryLadder(process, step_sizes if is_traced(step_sizes) else jnp.asarray(step_sizes))


def published_ladder(
    cuts: Sequence[int] = (0, 100, 200, 300, 400, 500, 999), *, scale: float = 2e-4, chain_steps: int = 1000
) -> RecoveryLadder:
    """The ladder of the paper: a few levels of the linear DDPM chain, and step sizes that grow with the noise.

        σ_k² = 1 − ᾱ_{c_k}/ᾱ_{c_{k−1}},    ε_k = scale · (σ̄_{k−1}/σ̄_0) · σ_k²,    σ̄_k² = 1 − ᾱ_{c_k}

    The paper's data carry the noise of the first cut, of σ̄_0 = .01: give `recovery_likelihood` that data_noise. Its
    energies are networks over ε, which `scaled_energy` makes, and its loss has the weights `ladder.published_weights`.

    Args:
        cuts: ascending indices c_0 < c_1 < … < c_T of the chain. The first is that of the data.
        scale: b² of the paper.
        chain_steps: steps of the chain with β from 1e-4 to .02.

    Returns:
        The ladder of T levels.

    Raises:
        ValueError: if cuts are not ascending indices of the chain, two at least, or scale is not positive and finite.

    Reference:
        Gao et al. 2021, §3.4 and appendix.
    """
    check_positive(scale=scale)
    cuts = np.asarray(cuts)
    if cuts.ndim != 1 or cuts.size < 2 or cuts[0] < 0 or cuts[-1] >= chain_steps or np.any(np.diff(cuts) <= 0):
        raise ValueError(f"cuts must be two or more ascending indices below {chain_steps}, got {cuts.tolist()}")
    alpha_bar = np.cumprod(1 - linear_betas(chain_steps))[cuts]
    variances = 1 - alpha_bar[1:] / alpha_bar[:-1]
    total = np.sqrt(1 - alpha_bar)
    return recovery_ladder(from_betas(variances), scale * total[:-1] / total[0] * variances)


def scaled_energy(network: Callable[..., Any], ladder: RecoveryLadder) -> Callable[..., Any]:
    """The energy network/ε of a ladder, whose pull is as large as a step's noise where the network's slope is 1.

    Args:
        network: (params, y, s) -> (B,), or with a state (params, y, s, state) -> ((B,), state).
        ladder: the ladder. ε is its step size from the level above s.

    Returns:
        The energy, of the same arguments, for `recovery_likelihood`.

    Reference:
        Gao et al. 2021, eq. 17.
    """

    def energy(params: PyTree, y: Float[Array, "b *event"], s: Float[Array, " b"], *state: PyTree) -> Any:
        found = network(params, y, s, *state)
        epsilon = ladder.step_size(s + 1 / ladder.steps)
        return (found[0] / epsilon, found[1]) if state else found / epsilon

    return energy

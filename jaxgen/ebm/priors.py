"""Energy-based priors over latents: a base distribution tilted by an energy, sampled by Langevin or by resampling."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import check_at_least
from jaxgen.distributions import Distribution
from jaxgen.ebm.energy import Energy, MakeChain, energies, tilted
from jaxgen.ebm.objectives import sample_chain


class EnergyPrior(NamedTuple):
    """The `Distribution` e^{−E(z)} base(z)/Z, as `langevin_prior` and `resampled_prior` make it.

    Attributes:
        energy: E, relative to the base.
        base: the base distribution.
        draw: (key, shape) -> samples.
        log_normalizer: log Z = log E_base[e^{−E}], ().
    """

    energy: Energy
    base: Distribution
    draw: Callable[[Array, tuple[int, ...]], Array]
    log_normalizer: ArrayLike

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "b *d"]:
        """Draw samples.

        Args:
            key: one key.
            shape: the shape (B, *d) of the result.

        Returns:
            The samples.
        """
        return self.draw(key, shape)

    def log_density(self, z: Float[Array, "b *d"]) -> Float[Array, " b"]:
        """Evaluate log base(z) − E(z) − log Z in nats.

        Args:
            z: points (B, *d).

        Returns:
            The log-densities (B,), up to a constant if log Z was not given.
        """
        return self.base.log_density(z) - energies(self.energy, z) - self.log_normalizer


def langevin_prior(
    energy: Energy, base: Distribution, chain: MakeChain, steps: int = 60, log_normalizer: ArrayLike = 0.0
) -> EnergyPrior:
    """An energy-based prior that is sampled by a chain, which starts at draws of the base.

    As the prior of a VAE it mends the hole between the aggregate posterior and the base. Its energy learns by
    `maximum_likelihood` of `tilted(energy, base)` on latents, or together with the VAE by `contrastive_losses`, whose
    gradient then also reaches the encoder.

    Args:
        energy: E, relative to the base.
        base: such as `distributions.standard_normal()`.
        chain: makes the chain in the energy of the prior, which is that of `tilted(energy, base)`.
        steps: steps ≥ 1 of the chain.
        log_normalizer: log Z, (); see `estimate_log_normalizer`. Samples do not need it.

    Returns:
        The prior.

    Raises:
        ValueError: if steps < 1.

    Reference:
        Pang et al. 2020, "Learning latent space energy-based prior model", eq. 2 and 8.
    """
    check_at_least(1, steps=steps)
    made = chain(tilted(energy, base))

    def draw(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "b *d"]:
        start_key, chain_key = jax.random.split(key)
        return sample_chain(jax.random.split(chain_key, shape[0]), made, base.sample(start_key, shape), steps)

    return EnergyPrior(energy, base, draw, log_normalizer)


def resampled_prior(
    energy: Energy, base: Distribution, proposals: int = 256, log_normalizer: ArrayLike = 0.0
) -> EnergyPrior:
    """An energy-based prior that is sampled by resampling: the best of several draws of the base, by weight.

    A sample is one of `proposals` draws of the base, taken with probability ∝ e^{−E} (sampling importance resampling).
    It is exact as their number grows. `mcmc.effective_share(−E)` of draws of the base says how many are needed.

    Args:
        energy: E, relative to the base; −logit for a noise-contrastive prior.
        base: such as `distributions.standard_normal()`.
        proposals: draws ≥ 1 of the base for each sample.
        log_normalizer: as in `langevin_prior`.

    Returns:
        The prior.

    Raises:
        ValueError: if proposals < 1.

    Reference:
        Rubin 1987 (sampling importance resampling); Aneja et al. 2021, §3.2.
    """
    check_at_least(1, proposals=proposals)

    def one(key: Array, event: tuple[int, ...]) -> Array:
        proposal_key, choice_key = jax.random.split(key)
        z = base.sample(proposal_key, (proposals, *event))
        return z[jax.random.categorical(choice_key, -energies(energy, z))]

    def draw(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "b *d"]:
        keys = jax.random.split(key, shape[0])
        # a block at a time, so that memory does not grow with proposals × samples
        return jax.lax.map(lambda key: one(key, tuple(shape[1:])), keys, batch_size=min(64, shape[0]))

    return EnergyPrior(energy, base, draw, jnp.asarray(log_normalizer))

"""DDPM in the plane: its network, its loss, and its samples in any number of steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.diffusion_gan.config import Config
from experiments.diffusion_gan.mixtures import Mixture
from experiments.diffusion_gan.plane_games import DIMS
from experiments.kit.chains import scaled_linear
from jaxgen.diffusion import GaussianProcess, denoiser, denoising_loss, subset_grid
from jaxgen.nets import MLP, fourier_features
from jaxgen.samplers import ddpm, sample

DDPM = "DDPM"


class PlaneDDPM(NamedTuple):
    """A chain and a network of ε.

    Attributes:
        chain: the chain of T steps.
        net: an MLP of Fourier features.
        frequencies: their number.
    """

    chain: GaussianProcess
    net: MLP
    frequencies: int

    def init(self, key: jax.Array) -> Any:
        """The first parameters."""
        return self.net.init(key, fourier_features(jnp.zeros((1, DIMS)), self.frequencies), jnp.zeros(1))

    def network(self, params: Any) -> Callable[..., jax.Array]:
        """The network (x, t, cond) -> ε."""
        return lambda x, t, cond=None: self.net.apply(params, fourier_features(x, self.frequencies), t)

    def loss(self, key: jax.Array, params: Any, batch: tuple[jax.Array]) -> jax.Array:
        """The squared error in ε of a batch (x0,)."""
        return denoising_loss(key, self.chain, self.network(params), batch[0])

    def draw(self, steps: int) -> Callable[[Any, jax.Array], jax.Array]:
        """The function (parameters, keys (n,)) -> samples (n, 2) in so many steps."""
        return lambda params, keys: self._sample(denoiser(self.chain, self.network(params)), keys, steps)

    def draw_exactly(self, mixture: Mixture, steps: int) -> Callable[[Any, jax.Array], jax.Array]:
        """The same with the exact score of the mixture, without parameters."""

        def score(x: jax.Array, t: jax.Array, cond: None = None) -> jax.Array:
            return mixture.law().perturbed(self.chain.alpha(t), self.chain.sigma(t)).score(x)

        return lambda _, keys: self._sample(denoiser(self.chain, score, predicts="score"), keys, steps)

    def _sample(self, denoise: Any, keys: jax.Array, steps: int) -> jax.Array:
        return sample(keys, self.chain, denoise, ddpm(), subset_grid(self.chain.steps, steps), (DIMS,))


def plane_ddpm(config: Config) -> PlaneDDPM:
    """DDPM of the width of the GANs' networks."""
    net = MLP(config.plane_hidden[0], len(config.plane_hidden), out_channels=DIMS)
    return PlaneDDPM(scaled_linear(config.timesteps), net, config.plane_frequencies)

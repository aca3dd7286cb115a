"""Recovery likelihood of images: the ladder, the energy, its two losses, and its samplers."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.recovery_likelihood.config import Config
from experiments.recovery_likelihood.levels import image_levels, ladder_of
from jaxgen import diffusion, ebm, mcmc, samplers
from jaxgen.core import per_example
from jaxgen.nets import ResidualEnergy
from jaxgen.score_matching import score_of_energy

MAX_GAP = 1e4  # nats between the mean energies of data and samples, with hundreds of dimensions, that stop a training


class ImageChain(NamedTuple):
    """The energies of images under noise.

    Attributes:
        ladder: the levels.
        net: the network.
        noise: standard deviation of the noise that the data carry.
        chain_steps: Langevin steps of a level in training.
    """

    ladder: ebm.RecoveryLadder
    net: ResidualEnergy
    noise: float
    chain_steps: int

    def std(self, s: jax.Array) -> jax.Array:
        """Standard deviation of all noise in x_s, that of the data and that of the process."""
        process = self.ladder.process
        return jnp.sqrt((self.noise * process.alpha(s)) ** 2 + process.sigma(s) ** 2)

    def of_clean(self, params: Any, x: jax.Array, s: jax.Array) -> jax.Array:
        """The energy as a function of x_s: network/σ + ‖x‖²/2, so that the network's slope is of one size."""
        return self.net.apply(params, folded(x), s) / self.std(s) + (x**2).sum((1, 2, 3)) / 2

    def energy(self, params: Any, y: jax.Array, s: jax.Array) -> jax.Array:
        """E(y, s) of y = α x_s."""
        alpha = self.ladder.transition(s + 1 / self.ladder.steps)[0]
        return self.of_clean(params, y / per_example(alpha, y), s)

    def score_loss(self, key: jax.Array, params: Any, batch: tuple[jax.Array]) -> jax.Array:
        """Denoising score matching at the ladder's levels, ‖σ ∇E + ε‖²/d for the noise ε: no chains."""
        x, levels = batch[0], self.ladder.steps
        level_key, noise_key = jax.random.split(key)
        s = jax.random.randint(level_key, x.shape[:1], 0, levels) / levels
        eps = jax.random.normal(noise_key, x.shape)
        std = per_example(self.std(s), x)
        x_s = per_example(self.ladder.process.alpha(s), x) * x + std * eps
        score = score_of_energy(lambda x: self.of_clean(params, x, s))(x_s)
        return ((std * score + eps) ** 2).mean((1, 2, 3))

    def recovery_loss(self) -> Callable[..., tuple[jax.Array, dict, dict]]:
        """The loss of recovery likelihood, weighted by σ of the level, whose energies are 1/σ as large."""
        weights = np.asarray(self.std(np.arange(self.ladder.steps) / self.ladder.steps))
        objective = ebm.recovery_likelihood(
            self.energy,
            self.ladder,
            steps=self.chain_steps,
            weights=weights,
            data_noise=self.noise,
            max_gap=MAX_GAP,
        )
        return lambda key, params, batch: objective.loss(key, params, batch[0])

    def draw(self, params: Any, keys: jax.Array, steps: int, shape: tuple[int, ...]) -> jax.Array:
        """Images with the data's noise, by so many Langevin steps at each level."""
        energy, times = partial(self.energy, params), diffusion.uniform_grid(self.ladder.steps)
        return samplers.sample(keys, self.ladder, energy, ebm.recovery_sampler(steps), times, shape)

    def denoised(self, params: Any, x: jax.Array) -> jax.Array:
        """The mean of the clean image given one with the data's noise, x − σ² ∇E (Tweedie's formula)."""
        score = score_of_energy(lambda x: self.of_clean(params, x, jnp.zeros(len(x))))(x)
        return x + self.noise**2 * score

    def go_on(self, params: Any, keys: jax.Array, x: jax.Array, frames: int, thin: int) -> jax.Array:
        """Langevin dynamics in the energy of the data, from x: the states (frames + 1, n, h, w, c)."""
        score = score_of_energy(lambda x: self.of_clean(params, x, jnp.zeros(len(x))))
        alpha = self.ladder.transition(1 / self.ladder.steps)[0]
        return mcmc.run(keys, mcmc.langevin(score, self.step_sizes[0] / alpha**2), x, frames=frames, thin=thin)

    @property
    def step_sizes(self) -> jax.Array:
        """The step sizes of the ladder."""
        return self.ladder.step_sizes

    def gaussian(self, params: Any, keys: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Images by Gaussian kernels at the same levels, whose means are those of the same energies."""
        process = self.ladder.process

        def network(x: jax.Array, t: jax.Array, cond: Any = None) -> jax.Array:
            # at t = 1 no energy is learned: there is noise alone
            learned = score_of_energy(lambda x: self.of_clean(params, x, jnp.minimum(t, 1 - 1 / self.ladder.steps)))
            return jnp.where(per_example(t, x) < 1, learned(x), -x)

        denoise = diffusion.denoiser(process, network, predicts="score", clip=1.0)
        return samplers.sample(
            keys, process, denoise, samplers.ddpm(), diffusion.uniform_grid(self.ladder.steps), shape
        )


def folded(x: jax.Array) -> jax.Array:
    """Images (b, h, w, c) with the four pixels of each 2×2 square as channels, (b, h/2, w/2, 4c), which saves time."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).swapaxes(2, 3).reshape(b, h // 2, w // 2, 4 * c)


def image_chain(config: Config) -> ImageChain:
    """The chain of images, whose finest details are the noise of the data."""
    ladder = ladder_of(image_levels(config.levels, config.data_noise), config.step_size, config.data_noise)
    return ImageChain(ladder, ResidualEnergy(config.channels), config.data_noise, config.chain_steps)

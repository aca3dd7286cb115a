"""Denoising diffusion GANs: a generator of x0 for each of a few large denoising steps (Xiao et al. 2022)."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxgen.core import check_at_least, check_floating, fold_in, noise, per_example
from jaxgen.diffusion import (
    Denoiser,
    GaussianProcess,
    evaluate,
    from_betas,
    perturb,
    reverse_kernel,
    transition,
    vp,
)
from jaxgen.samplers import Sampler, ddpm

_LATENT, _POSTERIOR = 0, 1


def ddgan_process(
    steps: int = 4, *, beta_min: float | int = 0.1, beta_max: float | int = 20.0, minimum: float | int = 1e-3
) -> GaussianProcess:
    """The chain of a denoising diffusion GAN: `vp` at a few times of equal distance.

        β_k = 1 − ᾱ(τ_k)/ᾱ(τ_{k−1}),    τ_k = minimum + (1 − minimum) k/steps

    Its time k/steps has alpha² = ᾱ(τ_k)/ᾱ(τ_0), so that the data are clean at t = 0.

    Args:
        steps: number of steps T ≥ 1; the paper takes 4.
        beta_min: as in `diffusion.vp`.
        beta_max: as in `diffusion.vp`.
        minimum: τ_0 in [0, 1).

    Returns:
        The discrete process.

    Raises:
        ValueError: if steps < 1, or minimum is outside [0, 1); and as `diffusion.vp` does.

    Reference:
        Xiao et al. 2022, "Tackling the Generative Learning Trilemma with Denoising Diffusion GANs", appendix.
    """
    check_at_least(1, steps=steps)
    if not 0 <= minimum < 1:
        raise ValueError(f"minimum must lie in [0, 1), got {minimum}")
    vp(beta_min, beta_max)  # checks the two
    times = np.linspace(minimum, 1, steps + 1)
    # in float64, which vp itself computes in only where jax has it enabled
    log_alpha_bar = -0.5 * times**2 * (beta_max - beta_min) - times * beta_min
    return from_betas(-np.expm1(np.diff(log_alpha_bar)))


class DenoisingPairs(NamedTuple):
    """Real and generated x_s with the x_t that both come from, s = t − 1/T.

    Attributes:
        x_t: noisy data (B, *event).
        t: their times (B,), in {1/T, …, 1}.
        real: x_s (B, *event) of the forward chain, from which x_t was noised.
        fake: x_s (B, *event) drawn from q(x_s | x_t, x0 = G(x_t, t, z)); at s = 0 it is G's output.
    """

    x_t: Array
    t: Array
    real: Array
    fake: Array

    def at_x_t(self, critic: Callable[[Array, Array, Array], Array]) -> Callable[[Array], Array]:
        """Fix x_t and t of a critic, which makes it a critic of x_s alone.

        So every adversarial loss and every penalty applies, and a gradient penalty is that in x_s, as in the paper.

        Args:
            critic: a function (x_s, x_t, t) -> logits (B,).

        Returns:
            The function x_s -> logits (B,).
        """
        return lambda x_s: critic(x_s, self.x_t, self.t)


def denoising_pairs(
    key: Key[Array, ""],
    process: GaussianProcess,
    denoise: Denoiser,
    x0: Float[Array, "b *event"],
    latent_size: int,
) -> DenoisingPairs:
    """The inputs of both losses of a denoising diffusion GAN, at random times.

    Real pairs are draws of q(x_s, x_t) at uniform t. Generated pairs share their x_t: G draws x0 from x_t, t and a
    latent z ~ N(0, I), and the posterior q(x_s | x_t, x0) draws x_s.

    Args:
        key: key of the times, the noise and the latents.
        process: a discrete process, such as `ddgan_process()`.
        denoise: the generator as a denoiser (x, t, cond=z) -> Prediction. `diffusion.denoiser(process, network,
            predicts="x0")` makes one of a network (x, t, z) -> x0.
        x0: clean data (B, *event).
        latent_size: number of entries of z, at least 1; at least 2 for `nets.DenoisingGenerator`.

    Returns:
        The pairs, x_t, real and fake in x0's dtype. `pairs.at_x_t(critic)` is a critic of x_s, for any adversarial loss
        of its logits at `pairs.real` and `pairs.fake`.

    Raises:
        ValueError: if the process is not discrete, latent_size < 1, or x0 is not floating point.
        TypeError: if `denoise` is no denoiser that takes `cond`.

    Reference:
        Xiao et al. 2022, eq. 4–6.

    Example:
        `denoising_objectives` makes losses of them. One of your own:

        ```python
        def critic_loss(key, critic, generator, x0):
            denoise = diffusion.denoiser(process, partial(generator_net.apply, generator), predicts="x0")
            pairs = gan.denoising_pairs(key, process, denoise, x0, latent_size=100)
            judge = pairs.at_x_t(partial(critic_net.apply, critic))
            return jax.nn.softplus(-judge(pairs.real)) + jax.nn.softplus(judge(pairs.fake))
        ```
    """
    check_floating(x0)
    check_at_least(1, latent_size=latent_size)
    check_discrete(process)
    batch = x0.shape[0]
    keys = jax.random.split(key, 5)

    # real: x0 -> x_s -> x_t, at t = k/T and s = (k−1)/T
    k = jax.random.randint(keys[0], (batch,), 1, process.steps + 1)
    s, t = (k - 1) / process.steps, k / process.steps
    x_s = perturb(process, x0, s, jax.random.normal(keys[1], x0.shape, x0.dtype)).astype(x0.dtype)
    forward = transition(process, s, t)
    std = per_example(jnp.sqrt(forward.variance), x0)
    x_t = per_example(forward.alpha, x0) * x_s + std * jax.random.normal(keys[2], x0.shape, x0.dtype)
    x_t = x_t.astype(x0.dtype)

    # generated: x_t -> x̂0 -> x_s
    z = jax.random.normal(keys[3], (batch, latent_size), x0.dtype)
    mean, std = reverse_kernel(process, evaluate(denoise, x_t, t, cond=z), x_t, s, t)
    fake = mean + std * jax.random.normal(keys[4], x0.shape, x0.dtype)
    return DenoisingPairs(x_t, t, x_s, fake.astype(x0.dtype))


def check_discrete(process: GaussianProcess) -> None:
    """Raise ValueError for a process in continuous time."""
    if process.steps is None:
        raise ValueError("a denoising diffusion GAN needs a discrete process of few steps: take gan.ddgan_process()")


def ddgan(latent_size: int) -> Sampler:
    """Sampling of a denoising diffusion GAN: a generated x̂0, then the posterior, at one call a step.

        z ~ N(0, I),    x̂0 = G(x_t, t, z),    x_s ~ q(x_s | x_t, x0 = x̂0)

    It is `samplers.ddpm` whose denoiser draws x0 instead of its mean, so that the reverse kernel may have many modes.
    The denoiser is called as denoise(x, t, cond=z), where each example's z depends on its own key alone. The last
    sample is exactly G's output for a process that starts clean.

    Args:
        latent_size: number of entries of z, as in `denoising_pairs`.

    Returns:
        The sampler, without history.

    Raises:
        ValueError: if latent_size < 1.

    Reference:
        Xiao et al. 2022, eq. 6.

    Example:
        ```python
        process = gan.ddgan_process(4)
        denoise = diffusion.denoiser(process, partial(generator_net.apply, params), predicts="x0")
        x = samplers.sample(keys, process, denoise, gan.ddgan(100), diffusion.uniform_grid(4), (32, 32, 3))
        ```
    """
    check_at_least(1, latent_size=latent_size)
    posterior = ddpm()

    def step(key, process, denoise, t, s, x, carry):
        z = noise(fold_in(key, _LATENT), (latent_size,), x.dtype)
        return posterior.step(fold_in(key, _POSTERIOR), process, partial(denoise, cond=z), t, s, x, carry)

    return Sampler(step)

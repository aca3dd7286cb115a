"""The five methods: their networks, losses, energies and samplers."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ebm.config import Config
from jaxgen import diffusion, ebm, mcmc, samplers
from jaxgen.distributions import Gaussian, Uniform
from jaxgen.nets import MLP, EnergyMLP
from jaxgen.score_matching import denoising, score_of_energy

# confines the energies, and starts their chains; of NumPy, because an array of JAX would begin its work on import
BASE = Gaussian(np.zeros(2, np.float32), 2 * np.ones(2, np.float32))
STARTS = Uniform(-1.0, 1.0)  # of short-run chains
NAMES = {
    "persistent": "maximum likelihood",
    "short_run": "short-run chains",
    "dsm": "score matching",
    "recovery": "recovery likelihood",
    "ddpm": "DDPM",
}


class Method(NamedTuple):
    """A way to learn the data, for one seed.

    Attributes:
        initial: key -> first parameters.
        loss: (key, params, x (B, 2), **carry) -> (losses, metrics, carry).
        carry: key -> the first carry.
        steps: training steps.
        energy: params -> the energy of x; None for the DDPM.
        draw: (keys, params, steps) -> samples (n, 2); `steps` are those of a chain, of each level, or of the DDPM.
        calls: number of network calls of `draw`, by its steps.
        sampling_steps: the steps of `draw` that are compared.
    """

    initial: Callable[[jax.Array], Any]
    loss: Callable[..., Any]
    carry: Callable[[jax.Array], dict[str, Any]]
    steps: int
    energy: Callable[[Any], ebm.Energy] | None
    draw: Callable[[jax.Array, Any, int], jax.Array]
    calls: Callable[[int], int]
    sampling_steps: int


def ladder_of(config: Config) -> ebm.RecoveryLadder:
    """The levels, with steps of a share of the variance of p(y | x_t) around details of the data of width .3."""
    betas = np.array(config.betas)
    alpha_bar = np.concatenate([[1.0], np.cumprod(1 - betas)[:-1]])
    details = (1 - betas) * (alpha_bar * 0.3**2 + 1 - alpha_bar)
    return ebm.recovery_ladder(diffusion.from_betas(betas), config.recovery_step * details * betas / (details + betas))


def methods(config: Config) -> dict[str, Method]:
    """All methods by key."""
    net = EnergyMLP(config.hidden)
    no_carry = lambda key: {}  # noqa: E731
    x, t = jnp.zeros((1, 2)), jnp.zeros(1)
    plain, timed = (lambda key: net.init(key, x)), (lambda key: net.init(key, x, t))

    def tilted(params: Any) -> ebm.Energy:
        return ebm.tilted(partial(net.apply, params), BASE)

    def starts(key: jax.Array) -> ebm.ChainStarts:
        return ebm.persistent_chains(key, BASE, (2,), size=config.buffer, reinitialise=config.reinitialise)

    persistent = ebm.maximum_likelihood(
        lambda params, x: tilted(params)(x),
        ebm.langevin_chain(config.step_size),
        starts(jax.random.key(0)),
        steps=config.chain_steps,
    )
    short_chain = ebm.langevin_chain(config.short_step_size)
    short_run = ebm.maximum_likelihood(
        net.apply, short_chain, ebm.short_run_chains(STARTS), steps=config.short_chain_steps
    )

    def score_loss(key: jax.Array, params: Any, x: jax.Array) -> tuple[jax.Array, dict, dict]:
        return config.sigma**2 * denoising(key, score_of_energy(tilted(params)), x, config.sigma), {}, {}

    def by_chain(keys: jax.Array, params: Any, steps: int) -> jax.Array:
        chain = mcmc.mala(lambda x: -tilted(params)(x), config.step_size)
        start = jax.vmap(lambda key: BASE.sample(key, (1, 2))[0])(keys)
        return mcmc.advance(keys, chain, chain.init(start), steps).x

    def by_short_chain(keys: jax.Array, params: Any, steps: int) -> jax.Array:
        start = jax.vmap(lambda key: STARTS.sample(key, (2,)))(keys)
        return mcmc.advance(keys, short_chain(partial(net.apply, params)), start, steps)

    def conditional(params: Any, y: jax.Array, s: jax.Array) -> jax.Array:
        return net.apply(params, y, s) - BASE.log_density(y)

    ladder = ladder_of(config)
    recovery = ebm.recovery_likelihood(conditional, ladder, steps=config.recovery_chain_steps)
    scale = float(np.sqrt(1 - config.betas[0]))  # y = scale · x at the cleanest level

    def recovered(params: Any) -> ebm.Energy:
        return lambda x: conditional(params, scale * x, jnp.zeros(len(x)))

    def by_ladder(keys: jax.Array, params: Any, steps: int) -> jax.Array:
        sampler, times = ebm.recovery_sampler(steps, adjusted=True), diffusion.uniform_grid(ladder.steps)
        return samplers.sample(keys, ladder, partial(conditional, params), sampler, times, (2,))

    score_net, process = MLP(config.ddpm_width, 3), diffusion.vp()

    def ddpm_loss(key: jax.Array, params: Any, x: jax.Array) -> tuple[jax.Array, dict, dict]:
        return diffusion.denoising_loss(key, process, partial(score_net.apply, params), x), {}, {}

    def by_ddpm(keys: jax.Array, params: Any, steps: int) -> jax.Array:
        denoise = diffusion.denoiser(process, partial(score_net.apply, params))
        return samplers.sample(keys, process, denoise, samplers.ddpm(), diffusion.uniform_grid(steps), (2,))

    once = lambda steps: steps  # noqa: E731
    chain_steps, levels = config.sampling_steps, ladder.steps
    return {
        "persistent": Method(
            plain, persistent.loss, lambda key: starts(key).carry, config.steps, tilted, by_chain, once, chain_steps
        ),
        "short_run": Method(
            plain, short_run.loss, no_carry, config.short_steps, lambda params: partial(net.apply, params),
            by_short_chain, once, config.short_chain_steps,
        ),
        "dsm": Method(plain, score_loss, no_carry, config.score_steps, tilted, by_chain, once, chain_steps),
        "recovery": Method(
            timed, recovery.loss, no_carry, config.recovery_steps, recovered, by_ladder, lambda steps: levels * steps,
            config.recovery_chain_steps,
        ),
        "ddpm": Method(
            lambda key: score_net.init(key, x, t), ddpm_loss, no_carry, config.score_steps, None, by_ddpm, once,
            config.ddpm_steps,
        ),
    }  # fmt: skip

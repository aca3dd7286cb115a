"""The likelihood of a denoiser through its probability-flow ODE."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from jaxgen.core import Divergence, exact_divergence, integrate
from jaxgen.diffusion.continuous.dynamics import check_finite_velocity, probability_flow
from jaxgen.diffusion.denoisers._denoiser import Denoiser, bind
from jaxgen.diffusion.processes.process import GaussianProcess, initial_std


class LogLikelihood(NamedTuple):
    """log p(x) in nats, the code of x at t_max, and the price as `ode.Solution` has it."""

    log_density: Float[Array, " b"]
    latent: Float[Array, "b *event"]
    steps: Int[Array, "..."]
    evaluations: Int[Array, "..."] | None


def log_likelihood(
    process: GaussianProcess,
    denoise: Denoiser,
    x0: Float[Array, "b *event"],
    *,
    divergence: Divergence | None = None,
    cond: Any = None,
    t_min: ArrayLike = 1e-5,
    t_max: ArrayLike = 1.0,
    **options: Any,
) -> LogLikelihood:
    """log p(x0) = log N(x_{t_max}; 0, prior_std² I) + ∫ ∇·v dt along the probability-flow ODE from t_min to t_max.

    Chen et al. 2018, theorem 1; Song et al. 2021, eq. 39. The model's density at t_min: where the score is exact and
    q_1 is the prior, that of q_{t_min}, not of clean data. Below t_max = 1 the prior shrinks as sigma does.
    divergence: a function (v, x) -> (v(x), ∇·v (B,)) with v: (B, *event) -> (B, *event) acting on each sample alone;
    `exact_divergence` by default, `hutchinson` for images. A `jax.tree_util.Partial` may carry arrays (B, ...), one row
    per sample. cond: replaces the denoiser's conditioning, needed where that has a batch axis and per_sample is set.
    options: of `ode.integrate` (solver, controller, per_sample, …). An evaluation is one network call and as many
    derivatives along a direction as the divergence takes. Differentiable in x0 and in all that denoise closes over.

    Raises ValueError for a discrete process, an interval outside [0, 1] or with an infinite velocity at its ends, and
    as `integrate` does.
    """
    check_finite_velocity(process, t_min, t_max)
    divergence = exact_divergence if divergence is None else divergence
    if not isinstance(divergence, jax.tree_util.Partial):
        divergence = jax.tree_util.Partial(divergence)

    def field(t: Array, state: tuple[Array, Array], args: tuple[Any, Divergence]) -> tuple[Array, Array]:
        cond, divergence = args
        return divergence(lambda x: probability_flow(process, bind(denoise, cond), x, t), state[0])

    state = x0, jnp.zeros(x0.shape[0], jnp.promote_types(x0.dtype, jnp.float32))
    (latent, change), steps, evaluations = integrate(field, state, t_min, t_max, args=(cond, divergence), **options)
    return LogLikelihood(_log_prior(process, latent, t_max) + change, latent, steps, evaluations)


def _log_prior(process: GaussianProcess, x: Float[Array, "b *event"], t_max: ArrayLike) -> Float[Array, " b"]:
    std = initial_std(process, jnp.asarray(t_max, x.dtype)).astype(x.dtype)
    terms = -0.5 * ((x / std) ** 2 + math.log(2 * math.pi)) - jnp.log(std)
    return terms.reshape(x.shape[0], -1).sum(-1)

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
    """log p(x) in nats, the latent code x_{t_max}, and the solver's cost, as in `core.Solution`."""

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
    """The log-likelihood of data under a denoiser's probability-flow ODE.

    log p(x0) = log N(x_{t_max}; 0, prior_std² I) + ∫ ∇·v dt along the ODE from t_min to t_max. This is the density at
    t_min: for an exact score and a prior equal to q_1 it is q_{t_min}, not the density of clean data. For t_max < 1 the
    prior's standard deviation is scaled by sigma(t_max)/sigma(1). Differentiable in x0 and in all that `denoise` closes
    over.

    Args:
        process: a continuous process.
        denoise: the denoiser.
        x0: data (B, *event), taken as the state at t_min.
        divergence: a function (v, x) -> (v(x), ∇·v (B,)) of a field v: (B, *event) -> (B, *event) that acts on each
            sample alone. `exact_divergence` by default; use `hutchinson` for images. A `jax.tree_util.Partial` may
            carry arrays (B, ...), one row per sample.
        cond: replaces the denoiser's conditioning. Needed for conditioning with a batch axis when per_sample is set.
        t_min: start of the ODE, in [0, 1).
        t_max: end of the ODE, in (t_min, 1].
        options: of `core.integrate`, such as solver, controller, per_sample. One evaluation is one network call, with
            as many directional derivatives as the divergence takes.

    Returns:
        The log-density in nats, the code at t_max, and the solver's cost.

    Raises:
        ValueError: if x0 has no event axis; as `check_finite_velocity` and `core.integrate` do.
        RuntimeError: as `core.integrate` does.
        TypeError: if `denoise` is a bare network.

    Reference:
        Chen et al. 2018, theorem 1; Song et al. 2021, eq. 39.
    """
    check_finite_velocity(process, t_min, t_max)
    x0 = jnp.asarray(x0)
    if x0.ndim < 2:
        raise ValueError(f"x0 needs a batch axis and an event, (B, *event), got {x0.shape}: x0[None] for one sample")
    divergence = exact_divergence if divergence is None else divergence
    if not isinstance(divergence, jax.tree_util.Partial):
        divergence = jax.tree_util.Partial(divergence)

    def field(t: Array, state: tuple[Array, Array], args: tuple[Any, Divergence]) -> tuple[Array, Array]:
        cond, divergence = args
        return divergence(lambda x: probability_flow(process, bind(denoise, cond), x, t), state[0])

    state = x0, jnp.zeros(x0.shape[0], jnp.promote_types(x0.dtype, jnp.float32))
    (latent, change), steps, evaluations = integrate(field, state, t_min, t_max, args=(cond, divergence), **options)
    return LogLikelihood(_log_prior(process, latent, t_max) + change, latent, steps, evaluations)


# not Gaussian.log_density, which adds in another order: results would change in the last digit
def _log_prior(process: GaussianProcess, x: Float[Array, "b *event"], t_max: ArrayLike) -> Float[Array, " b"]:
    std = initial_std(process, jnp.asarray(t_max, x.dtype)).astype(x.dtype)
    terms = -0.5 * ((x / std) ** 2 + math.log(2 * math.pi)) - jnp.log(std)
    return terms.reshape(x.shape[0], -1).sum(-1)

"""The likelihood of a denoiser through its probability-flow ODE."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from jaxgen.diffusion.denoiser import Denoiser, bind
from jaxgen.diffusion.dynamics import check_interval, probability_flow
from jaxgen.diffusion.ode import integrate
from jaxgen.diffusion.process import GaussianProcess, prior_spread

VectorField = Callable[[Array], Array]
Divergence = Callable[[VectorField, Array], tuple[Array, Array]]


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
    check_interval(process, t_min, t_max)
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
    std = prior_spread(process, jnp.asarray(t_max, x.dtype)).astype(x.dtype)
    terms = -0.5 * ((x / std) ** 2 + math.log(2 * math.pi)) - jnp.log(std)
    return terms.reshape(x.shape[0], -1).sum(-1)


def exact_divergence(
    field: VectorField, x: Float[Array, "b *event"]
) -> tuple[Float[Array, "b *event"], Float[Array, " b"]]:
    """v(x) and ∇·v by one derivative along each of the d axes, all at once: time and memory of d more calls."""
    event, dims = x.shape[1:], math.prod(x.shape[1:])
    axes = jnp.eye(dims, dtype=x.dtype).reshape(dims, 1, *event)
    value, products = _products(field, x, jnp.broadcast_to(axes, (dims, *x.shape)))
    return value, products.sum(0)


def hutchinson(
    keys: Key[Array, " b"],
    shape: tuple[int, ...],
    probes: int = 1,
    distribution: Literal["rademacher", "gaussian"] = "rademacher",
) -> Divergence:
    """∇·v estimated as the mean of εᵀ (∂v/∂x) ε over `probes` draws of ε (*shape) per sample, kept for a whole solve.

    Unbiased, with variance (S the symmetric part of the Jacobian) 2 Σ_{i≠j} S_ij² / probes for signs and
    2 ‖S‖² / probes for Gaussian noise (Hutchinson 1990; Grathwohl et al. 2019, §3.1). keys (B,): a sample's probes come
    from its own key alone. Raises ValueError unless probes ≥ 1, and for another distribution.
    """
    if distribution not in get_args(Literal["rademacher", "gaussian"]):
        raise ValueError(f"unknown distribution {distribution!r}: choose rademacher or gaussian")
    if probes < 1:
        raise ValueError(f"need at least one probe, got {probes}")
    draw = jax.random.rademacher if distribution == "rademacher" else jax.random.normal
    eps = jax.vmap(lambda key: draw(key, (probes, *shape), jnp.float32))(keys)
    return jax.tree_util.Partial(_probe, eps)


def _probe(
    eps: Float[Array, "b probes *event"], field: VectorField, x: Float[Array, "b *event"]
) -> tuple[Float[Array, "b *event"], Float[Array, " b"]]:
    if eps.shape[2:] != x.shape[1:] or len(eps) != len(x):
        raise ValueError(f"probes were drawn for {len(eps)} samples of shape {eps.shape[2:]}, got x of {x.shape}")
    value, products = _products(field, x, jnp.moveaxis(eps, 1, 0).astype(x.dtype))
    return value, products.mean(0)


def _products(
    field: VectorField, x: Float[Array, "b *event"], directions: Float[Array, "k b *event"]
) -> tuple[Float[Array, "b *event"], Float[Array, "k b"]]:
    """v(x), and uᵀ (∂v/∂x) u for each of k directions u."""
    value, along = jax.linearize(field, x)
    return value, jax.vmap(lambda u: (u * along(u)).reshape(len(x), -1).sum(-1))(directions)

"""Samples and latents by diffrax's solvers: the probability-flow ODE both ways, and the reverse SDE."""

from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from jaxgen.core import check_at_least, check_not_negative, fold_in, integrate, is_traced, per_sample_keys, solve
from jaxgen.diffusion import (
    Denoiser,
    GaussianProcess,
    bind,
    check_finite_velocity,
    probability_flow,
    reverse_sde,
    sde_coefficients,
)
from jaxgen.samplers.brownian import EqualStepNoise, IsotropicNoise, levy_area


class ODESample(NamedTuple):
    """States (B, *event) and their cost: () where the batch shares its steps, (B,) where each sample has its own."""

    x: Float[Array, "b *event"]
    steps: Int[Array, "..."]  # rejected ones included
    evaluations: Int[Array, "..."] | None  # network calls; None where the solver has no fixed number per step


def ode_encode(
    process: GaussianProcess,
    denoise: Denoiser,
    x0: Float[Array, "b *event"],
    *,
    cond: Any = None,
    t_min: ArrayLike = 1e-5,
    t_max: ArrayLike = 1.0,
    **options: Any,
) -> ODESample:
    """The latent x_{t_max} of data x_{t_min} = x0 along the probability-flow ODE.

    `ode_decode` is its inverse, up to the tolerance.

    Args:
        process: a continuous process.
        denoise: the denoiser.
        x0: data (B, *event).
        cond: replaces the denoiser's conditioning. Conditioning with a batch axis must come here if per_sample is set.
        t_min: time of the data.
        t_max: time of the latent, 0 ≤ t_min < t_max ≤ 1.
        **options: those of `core.integrate`: solver, controller, per_sample, max_steps, …

    Returns:
        The latents and their cost.

    Raises:
        ValueError: if the process is discrete, 0 ≤ t_min < t_max ≤ 1 does not hold, or the velocity is infinite at an
            end; and as `core.integrate` does.
        TypeError: if denoise is no denoiser, such as a bare network.
        RuntimeError: as `core.integrate` does.

    Reference:
        Song et al. 2021, §4.3 and appendix D.2.
    """
    check_finite_velocity(process, t_min, t_max)
    return _flow(process, denoise, x0, t_min, t_max, cond, **options)


def ode_decode(
    process: GaussianProcess,
    denoise: Denoiser,
    latent: Float[Array, "b *event"],
    *,
    cond: Any = None,
    t_min: ArrayLike = 1e-5,
    t_max: ArrayLike = 1.0,
    **options: Any,
) -> ODESample:
    """The data x_{t_min} whose latent is x_{t_max} = `latent`, along the probability-flow ODE.

    Args:
        process: a continuous process.
        denoise: the denoiser.
        latent: latents (B, *event).
        cond: as in `ode_encode`.
        t_min: time of the data.
        t_max: time of the latent, 0 ≤ t_min < t_max ≤ 1.
        **options: those of `core.integrate`.

    Returns:
        The data and their cost.

    Raises:
        ValueError: as `ode_encode` does.
        TypeError: as `ode_encode` does.
        RuntimeError: as `ode_encode` does.

    Reference:
        Song et al. 2021, §4.3 and appendix D.2.
    """
    check_finite_velocity(process, t_min, t_max)
    return _flow(process, denoise, latent, t_max, t_min, cond, **options)


def sample_ode(
    keys: Array,
    process: GaussianProcess,
    denoise: Denoiser,
    shape: tuple[int, ...],
    *,
    t_max: ArrayLike = 1.0,
    **options: Any,
) -> ODESample:
    """Draw samples (B, *shape) by the probability-flow ODE with adaptive steps.

    The start is drawn as `sample` draws it, and each sample's depends on its own key alone; keys that are not threefry
    are replaced as there. The batch shares its steps unless per_sample=True.

    Args:
        keys: (B,) typed keys.
        process: a continuous process.
        denoise: the denoiser.
        shape: shape of one sample.
        t_max: time of the start, at most 1.
        **options: those of `ode_decode`.

    Returns:
        The samples and their cost.

    Raises:
        ValueError: if keys are not typed and of shape (B,); and as `ode_decode` does.
        TypeError: as `ode_decode` does.
        RuntimeError: as `ode_decode` does.

    Reference:
        Song et al. 2021, §4.3.
    """
    latent = process.sample_prior(fold_in(per_sample_keys(keys), 0), shape, t_max)
    return ode_decode(process, denoise, latent, t_max=t_max, **options)


def sample_sde(
    keys: Array,
    process: GaussianProcess,
    denoise: Denoiser,
    shape: tuple[int, ...],
    *,
    eta: ArrayLike = 1.0,
    solver: diffrax.AbstractSolver | None = None,
    steps: int = 1000,
    controller: diffrax.AbstractStepSizeController | None = None,
    first_step: ArrayLike | None = None,
    cond: Any = None,
    t_min: ArrayLike = 1e-5,
    t_max: ArrayLike = 1.0,
    max_steps: int = 4096,
) -> ODESample:
    """Draw samples (B, *shape) at t_min by the reverse SDE, dx = [f x − ½(1 + η²) g² score] dt + η g dw̄.

    Each sample has its own start and Brownian motion, functions of its own key alone; keys that are not threefry are
    replaced as in `sample`. The noise is additive, so Itô's and Stratonovich's solutions agree and diffrax's solvers of
    both kinds are right. The result still has the noise of t_min and of the last step.

    Without a controller it takes equal steps in t of one batched call each. They are slower than the scan of
    `sample`. Where the noise falls fast in t, as in edm, equal steps are too coarse: give a controller.

    With a controller each sample has its own steps, and the cost is that of the slowest plus a Brownian tree. The
    denoiser then sees batches of one under `vmap`, and in other batches a sample is the same only up to the effect of
    rounding on its steps. In few dimensions the estimated error of a bad step can be small by chance, so choose tight
    tolerances.

    Args:
        keys: (B,) typed keys.
        process: a continuous process.
        denoise: the denoiser.
        shape: shape of one sample.
        eta: η ≥ 0; 1 is the reverse SDE, 0 the ODE.
        solver: a diffrax solver: Euler() (the default, weak and strong order 1), Heun(), SRA1() or ShARK() (strong
            order 1.5 for two calls a step).
        steps: number of equal steps, where there is no controller.
        controller: such as diffrax.PIDController(rtol=1e-2, atol=1e-2), in the solver's time τ = t_max − t. It needs a
            solver that estimates its error: ShARK or SRA1, or with poor estimates Heun or HalfSolver(Euler()).
        first_step: length of the first adaptive step; chosen by the controller if None.
        cond: replaces the denoiser's conditioning. Conditioning with a batch axis must come here if steps adapt.
        t_min: time of the samples.
        t_max: time of the start, 0 ≤ t_min < t_max ≤ 1.
        max_steps: most adaptive steps.

    Returns:
        The samples and their cost.

    Raises:
        ValueError: if keys are not typed and of shape (B,), the process is discrete, 0 ≤ t_min < t_max ≤ 1 does not
            hold, the SDE is infinite at t_max (cosine and rectified_flow at 1), sigma is 0 at t_min, eta is negative or
            not finite, steps < 1, or the solver is Euler() or EulerHeun() and the controller adapts its steps.
        TypeError: if denoise is no denoiser, such as a bare network.
        RuntimeError: as `core.integrate` does.

    Reference:
        Song et al. 2021, eq. 6.
    """
    keys = per_sample_keys(keys)
    check_finite_velocity(process, t_min, t_max)
    _check_coefficients(process, t_min, t_max)
    check_not_negative(eta=eta)
    check_at_least(1, steps=steps)
    solver = diffrax.Euler() if solver is None else solver
    adaptive = isinstance(controller, diffrax.AbstractAdaptiveStepSizeController)
    if adaptive and type(solver) in (diffrax.Euler, diffrax.EulerHeun):
        raise ValueError(
            f"{type(solver).__name__} does not estimate its error, so its steps cannot adapt: take diffrax.ShARK(), "
            f"diffrax.Heun() or diffrax.HalfSolver(diffrax.Euler())"
        )
    x = process.sample_prior(fold_in(keys, 0), shape, t_max)
    brownian_keys = fold_in(keys, 1)
    start, end = jnp.zeros((), x.dtype), jnp.asarray(t_max, x.dtype) - jnp.asarray(t_min, x.dtype)

    def drift(tau: Array, x: Array, cond: Any) -> Array:
        return -reverse_sde(process, bind(denoise, cond), x, t_max - tau, eta).drift.astype(x.dtype)

    def diffusion(tau: Array) -> Array:
        return eta * jnp.sqrt(sde_coefficients(process, t_max - tau).diffusion_squared).astype(x.dtype)

    def drift_of_one(tau: Array, x: Array, cond: Any) -> Array:
        return drift(tau, x[None], jax.tree.map(lambda leaf: leaf[None], cond))[0]

    cond, area = jax.tree.map(jnp.asarray, cond), levy_area(solver)
    scale = eqx.filter_closure_convert(diffusion, start)
    if controller is None and not isinstance(solver, diffrax.HalfSolver):
        path = EqualStepNoise(brownian_keys, end / steps, shape, area)
        hoisted = eqx.filter_closure_convert(drift, start, x, cond)
        terms = diffrax.MultiTerm(diffrax.ODETerm(hoisted), IsotropicNoise(scale, path))
        fixed = diffrax.ConstantStepSize()
        return ODESample(*solve(terms, x, start, end, cond, solver, fixed, end / steps, steps))

    if controller is None:
        controller, first_step, max_steps = diffrax.ConstantStepSize(), end / steps, steps
    one = jax.tree.map(lambda leaf: leaf[0], (x, cond))
    hoisted = eqx.filter_closure_convert(drift_of_one, start, *one)

    def one_solve(key: Array, x: Array, cond: Any) -> Any:
        # finer than the spacing of float32 near τ = 1
        path = diffrax.VirtualBrownianTree(start, end, 2.0**-21, jax.ShapeDtypeStruct(shape, x.dtype), key, area)
        terms = diffrax.MultiTerm(diffrax.ODETerm(hoisted), IsotropicNoise(scale, path))
        return solve(terms, x, start, end, cond, solver, controller, first_step, max_steps)

    return ODESample(*jax.vmap(one_solve)(brownian_keys, x, cond))


def _flow(
    process: GaussianProcess,
    denoise: Denoiser,
    x: Float[Array, "b *event"],
    start: ArrayLike,
    end: ArrayLike,
    cond: Any,
    **options: Any,
) -> ODESample:
    def field(t: Array, x: Array, cond: Any) -> Array:
        return probability_flow(process, bind(denoise, cond), x, t)

    return ODESample(*integrate(field, x, start, end, args=cond, **options))


def _check_coefficients(process: GaussianProcess, t_min: ArrayLike, t_max: ArrayLike) -> None:
    """Raise ValueError where the SDE is infinite at an end that is not traced."""
    with jax.ensure_compile_time_eval():
        ends = *sde_coefficients(process, t_max), process.sigma(t_min)
    *coefficients, sigma = (None if is_traced(value) else np.asarray(value) for value in ends)
    if sigma is not None and sigma == 0:
        raise ValueError(f"the score is infinite at t_min={t_min}, where sigma = 0: keep away, e.g. t_min=1e-5")
    if any(value is not None and not np.isfinite(value) for value in coefficients):
        raise ValueError(
            f"the SDE of {type(process).__name__} is infinite at t_max={t_max}, where no signal is left: take t_max < 1"
            ", such as 0.999, or sample_ode"
        )

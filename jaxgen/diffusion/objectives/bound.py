"""The variational bound of a discrete reverse chain, term by term (Ho et al. 2020, eq. 5)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import as_float, check_floating, is_traced, per_sample_keys
from jaxgen.diffusion.denoisers._denoiser import Denoiser, evaluate
from jaxgen.diffusion.denoisers.prediction import Prediction
from jaxgen.diffusion.denoisers.reverse import Variance, check_variance, final_kernel, reverse_kernel
from jaxgen.diffusion.grids import check_grid, subset_grid
from jaxgen.diffusion.processes.kernels import marginal, perturb, posterior
from jaxgen.diffusion.processes.process import GaussianProcess, initial_std
from jaxgen.distributions import Gaussian, gaussian_kl
from jaxgen.distributions.likelihoods import Likelihood, discretised_gaussian


class Bound(NamedTuple):
    """Terms of the bound on −log p(x0) for a grid of n steps, in nats per example."""

    prior: Float[Array, " b"]  # L_T
    transitions: Float[Array, "b n_minus_1"]  # L_{t−1}, from the noisiest step to the cleanest
    reconstruction: Float[Array, " b"]  # L_0

    @property
    def total(self) -> Float[Array, " b"]:
        """The bound L_T + Σ L_{t−1} + L_0 in nats, (B,).

        Divide it by dims · ln 2 for bits per dimension. Under a discretised likelihood these are the bits of the
        integer data, because scaling the data does not change the probability of a level.
        """
        return self.prior + self.transitions.sum(-1) + self.reconstruction


def variational_bound(
    keys: Array,
    process: GaussianProcess,
    denoise: Denoiser,
    x0: Float[Array, "b *event"],
    *,
    grid: Float[ArrayLike, " n_plus_1"] | None = None,
    variance: Variance = "fixed_small",
    likelihood: Likelihood | None = None,
) -> Bound:
    """Unbiased estimate of the bound on −log p(x0) of the reverse chain on a grid, with one draw of x_t per step.

    L_T = KL(q(x_1|x0) ‖ N(0, prior_std² I)), L_{t−1} = KL(q(x_s|x_t,x0) ‖ p_θ(x_s|x_t)), L_0 = −log p_θ(x0|x_{t_1}).
    The n network calls run in one `lax.scan`. Call it inside `jax.jit`: an eager call compiles anew each time.

    Args:
        keys: typed keys (B,); the result of example b depends on keys[b] alone.
        process: the process.
        denoise: the denoiser. One that clips x0, as published evaluations do, defines another valid model.
        x0: clean data (B, *event), in the range of the likelihood.
        grid: descending times of n ≥ 2 steps, from at most 1 to 0; 0 stands for the data. The default is the whole
            chain of a discrete process.
        variance: variance of p_θ; see `reverse_kernel` and, for L_0, `final_kernel`.
        likelihood: log p_θ(x0|x_{t_1}). The default is `likelihoods.discretised_gaussian()`, for 256 levels of [−1, 1];
            use `likelihoods.gaussian()` for continuous data.

    Returns:
        The terms of the bound, in x0's dtype or float32.

    Raises:
        ValueError: if variance is unknown or is "learned" without a learned one, x0 is not floating point, keys are not
            typed or not of shape (B,), a continuous process has no grid, or a concrete grid is not as above or has
            times that are no steps of a discrete process.
        TypeError: if `denoise` is a bare network.

    Reference:
        Ho et al. 2020, eq. 5.
    """
    check_variance(variance)
    check_floating(x0)
    if keys.shape != x0.shape[:1] or not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
        raise ValueError(f"keys must be typed keys, one for each of {len(x0)} samples: jax.random.split(key, len(x0))")
    if grid is None:
        if process.steps is None:
            raise ValueError("the bound of a continuous process needs a grid, such as diffusion.uniform_grid(n)")
        grid = subset_grid(process.steps, process.steps)
    _check_bound_grid(grid, process.steps)
    keys, times = per_sample_keys(keys), as_float(grid)
    x0 = as_float(x0)

    def body(_: None, step: tuple[Array, Array, Array]) -> tuple[None, Float[Array, " b"]]:
        index, t, s = step
        eps = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, index), x0.shape[1:], x0.dtype))(keys)
        x_t = perturb(process, x0, t, eps).astype(x0.dtype)
        options = {"cleanest": (times[-2], times[-3]), "variance": variance, "likelihood": likelihood}
        return None, bound_term(process, evaluate(denoise, x_t, t), x_t, x0, s, t, **options)

    _, terms = jax.lax.scan(body, None, (jnp.arange(len(times) - 1), times[:-1], times[1:]))
    prior = gaussian_kl(marginal(process, x0, times[0]), Gaussian(jnp.zeros(()), initial_std(process, times[0])))
    return Bound(prior.astype(x0.dtype), terms[:-1].T, terms[-1])


def bound_term(
    process: GaussianProcess,
    prediction: Prediction,
    x_t: Float[Array, "b *event"],
    x0: Float[Array, "b *event"],
    s: ArrayLike,
    t: ArrayLike,
    *,
    cleanest: tuple[ArrayLike, ArrayLike] | None = None,
    variance: Variance = "fixed_small",
    likelihood: Likelihood | None = None,
) -> Float[Array, " b"]:
    """Term of the bound for the step from t to s, in nats per example: L_{t−1}, or L_0 where s = 0.

    Args:
        process: the process.
        prediction: the denoiser's output at (x_t, t).
        x_t: noisy data (B, *event).
        x0: clean data (B, *event).
        s: end of the step, () or (B,).
        t: start of the step, () or (B,).
        cleanest: the two lowest positive times of the grid, ascending; steps to s = 0 start at the first. The default
            is those of a discrete process.
        variance: as in `variational_bound`.
        likelihood: as in `variational_bound`.

    Returns:
        The term (B,), in x_t's dtype.

    Raises:
        ValueError: if `cleanest` is missing and the process is not discrete with T ≥ 2; and as `reverse_kernel` does.
    """
    if cleanest is None:
        if process.steps is None or process.steps < 2:
            raise ValueError("give the grid's two cleanest times: only a discrete process of T >= 2 steps has them")
        cleanest = 1 / process.steps, 2 / process.steps
    first, second = cleanest
    s, t = as_float(s), as_float(t)
    # at s = 0 both Gaussians of the KL are points: take the step before, whose finite KL is not used
    below, above = jnp.where(s > 0, s, first), jnp.where(s > 0, t, second)

    def transition() -> Float[Array, " b"]:
        kernels = (
            posterior(process, x_t, x0, below, above),
            reverse_kernel(process, prediction, x_t, below, above, variance),
        )
        return gaussian_kl(*kernels).astype(x_t.dtype)

    def reconstruction() -> Float[Array, " b"]:
        log_probability = likelihood or discretised_gaussian()
        return -log_probability(x0, final_kernel(process, prediction, first, second, variance)).astype(x_t.dtype)

    if s.ndim == 0:
        return jax.lax.cond(s > 0, transition, reconstruction)
    return jnp.where(s > 0, transition(), reconstruction())


def _check_bound_grid(times: ArrayLike, steps: int | None) -> None:
    if len(times) < 3:
        raise ValueError(
            f"a bound needs a grid of at least two steps, got {times}: L_0's variance is that of the step before"
        )
    check_grid(times, steps)
    if not is_traced(times) and times[-1] != 0:
        raise ValueError(f"the grid of a bound must end at 0, got {times}")

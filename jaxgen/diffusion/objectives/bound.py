"""The discrete variational bound of diffusion models, term by term (Ho et al. 2020, eq. 5)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.diffusion.denoisers._denoiser import Denoiser
from jaxgen.diffusion.denoisers.prediction import Prediction
from jaxgen.diffusion.denoisers.reverse import Variance, check_variance, final_kernel, reverse_kernel
from jaxgen.diffusion.grids import subset_grid
from jaxgen.diffusion.processes.kernels import marginal, perturb, posterior
from jaxgen.diffusion.processes.process import GaussianProcess, as_time, initial_std
from jaxgen.distributions import Gaussian, gaussian_kl
from jaxgen.distributions.likelihoods import Likelihood, discretised_gaussian


class Bound(NamedTuple):
    """An estimate of the bound on −log p(x0), in nats, of a grid of n steps."""

    prior: Float[Array, " b"]  # L_T, exact
    transitions: Float[Array, "b n_minus_1"]  # L_{t−1}, from the noisiest step to the cleanest
    reconstruction: Float[Array, " b"]  # L_0

    @property
    def total(self) -> Float[Array, " b"]:
        """L_T + Σ L_{t−1} + L_0; over dims · ln 2 it is bits per dimension, of levels without any offset."""
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
    """An unbiased estimate of the bound on −log p(x0) of the reverse chain on a grid, x_t drawn once for each step.

    L_T = KL(q(x_1|x0) ‖ N(0, prior_std²)), L_{t−1} = KL(q(x_s|x_t,x0) ‖ p_θ(x_s|x_t)), L_0 = −log p_θ(x0|x_{t_1})
    (Ho et al. 2020, eq. 5). keys: (B,) typed keys; the result of sample b depends on keys[b] alone. grid: as `sample`
    takes it, of n ≥ 2 steps down to 0, which stands for the data themselves; by default the whole chain of a discrete
    process. It costs n network calls in one `lax.scan`; an eager call compiles anew, so call it inside `jax.jit`.
    variance: of p_θ, see `reverse_kernel` and, for L_0, `final_kernel`. likelihood: log p(x0) under p_θ(x0|x_{t_1}), by
    default `likelihoods.discretised_gaussian()`, for data on 256 levels of [−1, 1]; `likelihoods.gaussian()` is for continuous ones.
    A denoiser that clips x0, as published evaluations do, only changes the model that is bounded.

    Raises ValueError for another variance, "learned" with a denoiser that has learned none, keys that are not typed and
    of shape (B,), and a grid of fewer than two steps, that does not descend from 1 or below to 0, misses a discrete
    process's steps or is not given for a continuous one (traced grids cannot be checked).
    """
    check_variance(variance)
    if not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) or keys.shape != x0.shape[:1]:
        raise ValueError(f"keys must be typed keys, one for each of {len(x0)} samples: jax.random.split(key, len(x0))")
    if grid is None:
        if process.steps is None:
            raise ValueError("a continuous process needs a grid, such as grids.uniform_grid(n): its bound is that of n")
        grid = subset_grid(process.steps, process.steps)
    _check_grid(grid, process.steps)
    times = as_time(grid)
    x0 = x0.astype(jnp.promote_types(x0.dtype, jnp.float32))

    def body(_: None, step: tuple[Array, Array, Array]) -> tuple[None, Float[Array, " b"]]:
        index, t, s = step
        eps = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, index), x0.shape[1:], x0.dtype))(keys)
        x_t = perturb(process, x0, t, eps).astype(x0.dtype)
        options = {"cleanest": (times[-2], times[-3]), "variance": variance, "likelihood": likelihood}
        return None, bound_term(process, denoise(x_t, t), x_t, x0, s, t, **options)

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
    """The term of the bound at x_t of the step from t to s, each () or (B,), in nats: L_{t−1}, or L_0 where s = 0.

    prediction: the denoiser's at (x_t, t). cleanest: the two lowest times above 0 of the grid, ascending, by default
    those of a discrete process; steps to s = 0 must come from the first. variance and likelihood as `variational_bound`.
    Raises ValueError for fewer than two steps, and as `reverse_kernel` does.
    """
    if cleanest is None:
        if process.steps is None or process.steps < 2:
            raise ValueError("give the grid's two cleanest times: only a discrete process of T >= 2 steps has them")
        cleanest = 1 / process.steps, 2 / process.steps
    first, second = cleanest
    s, t = as_time(s), as_time(t)
    # where s = 0 both Gaussians of the KL are points: there it is that of the step before, finite and not used
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


def _check_grid(times: ArrayLike, steps: int | None) -> None:
    if len(times) < 3:
        raise ValueError(
            f"a bound needs a grid of at least two steps, got {times}: L_0's variance is that of the step before"
        )
    if isinstance(times, jax.core.Tracer):
        return
    grid = np.asarray(times, np.float64)
    if grid[0] > 1 or grid[-1] != 0 or not np.all(np.diff(grid) < 0):
        raise ValueError(f"the grid of a bound must descend strictly from at most 1 to 0, got {grid}")
    if steps is not None and np.any(np.abs(grid * steps - np.round(grid * steps)) > 1e-3):
        raise ValueError(f"times must be steps i/{steps} of the discrete process: use grids.subset_grid({steps}, n)")

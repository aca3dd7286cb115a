"""sample(): one `lax.scan` from the prior to data, for every step sampler."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.core import check_keys, fold_in, noise
from jaxgen.diffusion import Denoiser, GaussianProcess, as_float, initial_std


@runtime_checkable
class Step(Protocol):
    """From x (B, *event) at time t () to the less noisy s (), with `key` (B,) for noise and a carry for history."""

    def __call__(
        self, key: Array, process: GaussianProcess, denoise: Denoiser, t: Array, s: Array, x: Array, carry: Any
    ) -> tuple[Array, Any]:
        """The state at s and the new carry."""
        ...


class Sampler(NamedTuple):
    """A pair of pure functions, as an optimiser is in optax; `init(x)` makes the first carry, none unless given."""

    step: Step
    init: Callable[[Array], Any] = lambda x: None


def sample(
    keys: Array,
    process: GaussianProcess,
    denoise: Denoiser,
    sampler: Sampler,
    times: Float[ArrayLike, " n_plus_1"],
    shape: tuple[int, ...],
    *,
    start: Float[Array, "b *event"] | None = None,
    trajectory: bool = False,
) -> Float[Array, "..."]:
    """Samples (B, *shape) at the last of `times`, each a function of its own key alone.

    keys: (B,) typed keys; sample b is the same at any batch size and in any split over devices. times: (N+1,) strictly
    descending in [0, 1], as the grids of `diffusion.times` make them. start: the state at times[0]; when not given it
    is the prior's noise, of standard deviation prior_std at t = 1 and in proportion to sigma below, which holds no
    signal: give a start to begin well below 1. trajectory: return all N+1 states, (N+1, B, *shape); otherwise memory
    does not grow with N. An eager call compiles anew each time: inside `jax.jit`, with the network's parameters an
    argument, it compiles once.

    Raises ValueError for keys that are not typed and one-dimensional, times that do not descend within [0, 1] or miss a
    discrete process's steps (traced times cannot be checked), and a start of another shape.
    """
    check_keys(keys)
    _check_grid(times, process.steps)
    times = as_float(times)
    if start is None:
        x = prior_noise(keys, process, shape, times[0])
    elif start.shape == (keys.shape[0], *shape):
        x = start.astype(jnp.promote_types(start.dtype, jnp.float32))
    else:
        raise ValueError(f"start must have shape {(keys.shape[0], *shape)}, one state per key, got {start.shape}")

    def body(state: tuple[Array, Any], step: tuple[Array, Array, Array]) -> tuple[tuple[Array, Any], Array | None]:
        index, t, s = step
        x, carry = sampler.step(fold_in(keys, index), process, denoise, t, s, *state)
        x = x.astype(state[0].dtype)
        return (x, carry), x if trajectory else None

    steps = jnp.arange(1, times.shape[0]), times[:-1], times[1:]
    (last, _), path = jax.lax.scan(body, (x, sampler.init(x)), steps)
    return jnp.concatenate([x[None], path]) if trajectory else last


def prior_noise(
    keys: Array, process: GaussianProcess, shape: tuple[int, ...], t: ArrayLike
) -> Float[Array, "b *event"]:
    """The state (B, *shape) that sampling starts from at t, row b from keys[b] alone; see `initial_std`."""
    t = as_float(t)
    return (initial_std(process, t) * noise(fold_in(keys, 0), shape, t.dtype)).astype(t.dtype)


def _check_grid(times: ArrayLike, steps: int | None) -> None:
    if isinstance(times, jax.core.Tracer):
        return
    grid = np.asarray(times, np.float64)
    if grid.ndim != 1 or grid.size < 2:
        raise ValueError(f"times must have shape (N+1,) with N >= 1, got {grid.shape}")
    if grid[0] > 1 or grid[-1] < 0 or not np.all(np.diff(grid) < 0):
        raise ValueError(f"times must descend strictly within [0, 1], from noise to data; got {grid}")
    if steps is not None and np.any(np.abs(grid * steps - np.round(grid * steps)) > 1e-3):
        raise ValueError(
            f"times must be steps i/{steps} of the discrete process: use grids.subset_grid({steps}, n), got {grid}"
        )

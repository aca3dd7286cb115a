"""`sample`: one `lax.scan` from the prior to data, for every sampler."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxgen.core import as_float, fold_in, per_sample_keys
from jaxgen.diffusion import Denoiser, GaussianProcess, check_grid, evaluate


@runtime_checkable
class Process(Protocol):
    """What `sample` needs of a process: it draws the start. The rest is between the process and the sampler's step.

    A process in discrete time also has `steps`, the number T of its steps: its times are i/T.
    """

    def sample_prior(self, keys: Array, shape: tuple[int, ...], t: Array) -> Array:
        """Draw the states from which sampling starts, row b from keys[b] alone.

        Args:
            keys: (B,) keys.
            shape: shape of one sample.
            t: the time () of the states.

        Returns:
            The states (B, *shape), of any dtype.
        """
        ...


@runtime_checkable
class Step(Protocol):
    """One step of a sampler, from time t to the less noisy s."""

    def __call__(
        self, key: Array, process: Any, denoise: Any, t: Array, s: Array, x: Array, carry: Any
    ) -> tuple[Array, Any]:
        """Take the step.

        Args:
            key: (B,) keys for the noise of this step.
            process: the process given to `sample`.
            denoise: the denoiser given to `sample`.
            t: the time () of x.
            s: the time () to go to.
            x: the state (B, *event).
            carry: history, as `Sampler.init` or the last step made it.

        Returns:
            The state (B, *event) at s, and the carry of the next step.
        """
        ...


class Sampler(NamedTuple):
    """A pair of pure functions, as an optimiser is in optax; `init(x)` makes the first carry, by default None."""

    step: Step
    init: Callable[[Array], Any] = lambda x: None


def sample(
    keys: Array,
    process: Process,
    denoise: Denoiser | Callable[..., Any],
    sampler: Sampler,
    times: Float[ArrayLike, " n_plus_1"],
    shape: tuple[int, ...],
    *,
    start: Shaped[Array, "b *event"] | None = None,
    trajectory: bool = False,
) -> Shaped[Array, "..."]:
    """Draw samples (B, *shape), each a function of its own key alone.

    Sample b is the same at any batch size and in any split over devices. Keys that are not threefry (rbg, unsafe_rbg)
    are replaced by a threefry key derived from each, because they do not draw independently of their batch.

    Memory does not grow with the number of steps N. An eager call compiles each time: inside `jax.jit`, with the
    network's parameters as an argument, it compiles once.

    Args:
        keys: (B,) typed keys.
        process: any object that draws the start, such as a `diffusion.GaussianProcess`; its states may be integers.
        denoise: the denoiser, passed on to the sampler's step.
        sampler: such as `ddim()`.
        times: (N + 1,) strictly descending in [0, 1], as the grids of `diffusion` make them. Samples are at the last.
        shape: shape of one sample.
        start: the state (B, *shape) at times[0]. By default `process.sample_prior` draws it; for a `GaussianProcess`
            that is noise without signal, so a grid that begins well below 1 needs a start.
        trajectory: whether to return all N + 1 states, (N + 1, B, *shape).

    Returns:
        Samples (B, *shape). Floats are float32 or wider; other dtypes are those of the start.

    Raises:
        ValueError: if keys are not typed and of shape (B,), concrete times do not descend within [0, 1] or are no steps
            of a discrete process, start has another shape, or sampler is no sampler, as when the function `ddim` is
            given in place of `ddim()`.
        TypeError: if denoise is no denoiser, such as a bare network, and the process is a `GaussianProcess`.

    Example:
        >>> keys = jax.random.split(jax.random.key(0), 16)
        >>> denoise = diffusion.denoiser(process, network)
        >>> images = sample(keys, process, denoise, ddim(), diffusion.uniform_grid(50), (32, 32, 3))
    """
    keys = per_sample_keys(keys)
    check_sampler(sampler)
    check_grid(times, getattr(process, "steps", None))
    if isinstance(process, GaussianProcess):
        denoise = partial(evaluate, denoise)
    times = as_float(times)
    x = process.sample_prior(fold_in(keys, 0), shape, times[0]) if start is None else start
    if x.shape != (keys.shape[0], *shape):
        raise ValueError(f"start must have shape {(keys.shape[0], *shape)}, one state per key, got {x.shape}")
    if jnp.issubdtype(x.dtype, jnp.floating):
        x = as_float(x)

    def body(state: tuple[Array, Any], step: tuple[Array, Array, Array]) -> tuple[tuple[Array, Any], Array | None]:
        index, t, s = step
        x, carry = sampler.step(fold_in(keys, index), process, denoise, t, s, *state)
        if jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(state[0].dtype)
        return (x, carry), x if trajectory else None

    steps = jnp.arange(1, times.shape[0]), times[:-1], times[1:]
    (last, _), path = jax.lax.scan(body, (x, sampler.init(x)), steps)
    return jnp.concatenate([x[None], path]) if trajectory else last


def check_sampler(sampler: Any) -> None:
    """Raise ValueError for what is not a sampler."""
    if not (hasattr(sampler, "step") and hasattr(sampler, "init")):
        name = getattr(sampler, "__name__", None)
        hint = f"call the function {name}: {name}()" if callable(sampler) and name else f"got {sampler!r}"
        raise ValueError(f"sampler must be a pair (step, init) of functions, such as samplers.ddim(); {hint}")

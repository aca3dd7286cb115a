"""Network calls, counted on the host while they happen."""

from collections.abc import Callable
from typing import Any

import jax
from jax.typing import ArrayLike

from jaxgen.core import per_example
from jaxgen.diffusion import GaussianProcess, Prediction
from jaxgen.samplers import Sampler, sample


class Counter:
    """Counts the runs of the functions it is put around, under jit, loops and conditionals too."""

    def __init__(self):
        self._seen: list[None] = []

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted; under `vmap` a run counts once per example."""

        def counted(*args: Any, **options: Any) -> Any:
            jax.debug.callback(lambda: self._seen.append(None))
            return function(*args, **options)

        return counted

    @property
    def calls(self) -> int:
        """Runs until now, those still under way waited for."""
        jax.effects_barrier()
        return len(self._seen)


def network_calls(sampler: Sampler, process: GaussianProcess, times: ArrayLike) -> int:
    """Denoiser calls that a sampler makes on a grid: seen in a run on data N(0, 1), whose denoiser is known."""
    counter = Counter()

    def denoise(x: jax.Array, t: jax.Array, cond: Any = None) -> Prediction:
        alpha, sigma = per_example(process.alpha(t), x), per_example(process.sigma(t), x)
        whitened = x / (alpha**2 + sigma**2)
        return Prediction(alpha * whitened, sigma * whitened)

    keys = jax.random.split(jax.random.key(0), 2)
    counted = counter.around(denoise)
    jax.block_until_ready(jax.jit(lambda keys: sample(keys, process, counted, sampler, times, (3,)))(keys))
    return counter.calls

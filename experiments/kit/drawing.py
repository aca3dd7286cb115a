"""Samples by many samplers and grids at the price of few compilations."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.kit.call_counting import Counter
from experiments.kit.config import RunConfig
from experiments.kit.devices import cores_mesh
from jaxgen.core import fold_in
from jaxgen.diffusion import Denoiser, GaussianProcess
from jaxgen.samplers import Sampler
from jaxgen.training import batch_sharding, replicated


class Drawn(NamedTuple):
    """Samples and the network calls they took, as counted."""

    images: np.ndarray
    calls: int


class Drawer:
    """Draws samples, one per key, as `sample` does, but by one compiled step for grids of every length.

    `sample` compiles a scan per length; for a dozen short grids that would take longer than the sampling. Processes of
    one kind and parameters of one shape share what is compiled.

    Args:
        config: whose cores share the samples.
        denoise: makes the denoiser of a process and parameters.
        shape: shape of a sample.
        keys: one key per sample.
    """

    def __init__(
        self,
        config: RunConfig,
        denoise: Callable[[GaussianProcess, Any], Denoiser],
        shape: tuple[int, ...],
        keys: jax.Array,
    ):
        self.keys, self._mesh = keys, cores_mesh(config, len(keys))
        self._denoise, self._shape = denoise, shape
        self._counter, self._steps = Counter(), {}

    def __call__(
        self,
        process: GaussianProcess,
        params: Any,
        sampler: Sampler,
        times: np.ndarray,
        index: int = 0,
        start: jax.Array | None = None,
    ) -> Drawn:
        """The samples at the end of a grid, from `start` or the prior at its first time, with the keys of an index."""
        keys = self.keys_of(index)
        if self._mesh is not None:
            split, whole = batch_sharding(self._mesh), replicated(self._mesh)
            (keys, start), (process, params) = jax.device_put(
                ((keys, start), (process, params)), ((split, split), (whole, whole))
            )
        before = self._counter.calls
        if sampler.step not in self._steps:
            self._steps[sampler.step] = jax.jit(partial(self._step, sampler.step))
        x = process.sample_prior(fold_in(keys, 0), self._shape, times[0]) if start is None else start
        carry = sampler.init(x)
        for i, (t, s) in enumerate(pairwise(np.float32(times)), start=1):
            x, carry = self._steps[sampler.step](process, params, keys, i, t, s, x, carry)
        return Drawn(np.asarray(x), self._counter.calls - before)

    def keys_of(self, index: int) -> jax.Array:
        """The keys of an index: `keys` for 0, others derived from them for all others."""
        return fold_in(self.keys, index) if index else self.keys

    def _step(self, step, process, params, keys, i, t, s, x, carry):
        denoise = self._counter.around(self._denoise(process, params))
        return step(fold_in(keys, i), process, denoise, t, s, x, carry)

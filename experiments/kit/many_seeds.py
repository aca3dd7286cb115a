"""Models of toy size, trained from several seeds at once in compiled stretches."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core import progress_bar


class Fitted(NamedTuple):
    """Trained states and what was followed of them, all with a leading axis of seeds.

    Attributes:
        states: the last states.
        steps: the steps (points,) at which the rest was looked at.
        metrics: by name, means (seeds, points) over the steps since the last point.
        seen: what `look` found, (seeds, points, …).
    """

    states: Any
    steps: np.ndarray
    metrics: dict[str, np.ndarray]
    seen: Any


class ManySeeds:
    """Takes training steps from several first states at once: one compiled program for every call.

    Args:
        step: (state, batch) -> (state, metrics), as `make_train_step` and `make_adversarial_step` return it.
        steps: number of steps.
        batch_size: examples of a batch, drawn with replacement.
        points: how often the training is looked at, at equal distances.
        look: (key, state) -> arrays, evaluated at each point.
        progress: show a progress bar.
    """

    def __init__(
        self,
        step: Callable[[Any, Any], tuple[Any, Mapping[str, jax.Array]]],
        *,
        steps: int,
        batch_size: int,
        points: int = 20,
        look: Callable[[jax.Array, Any], Any] = lambda key, state: {},
        progress: bool = False,
    ):
        self._step, self._look, self._batch_size, self._progress = step, look, batch_size, progress
        self._ends = np.linspace(0, steps, min(points, steps) + 1).round().astype(int)
        self._stretch = jax.jit(jax.vmap(self._train, (0, 0, None, None, None)), donate_argnums=1)

    def __call__(self, keys: jax.Array, states: Any, data: jax.Array) -> Fitted:
        """Train.

        Args:
            keys: keys (seeds,) of the batches and of what is looked at.
            states: the first states, with a leading axis of seeds; they are donated.
            data: examples (n, …) from which all seeds draw.
        """
        found = []
        with progress_bar(0, int(self._ends[-1]), visible=self._progress) as show:
            for begin, end in pairwise(self._ends.tolist()):
                states, *of = self._stretch(keys, states, data, begin, end)
                found.append(jax.device_get(of))
                show(end, ", ".join(f"{name} {np.mean(value):.3g}" for name, value in found[-1][0].items()
                                    if name.split("/")[-1] == "loss"))  # fmt: skip
        metrics, seen = jax.tree.map(lambda *of: np.stack(of, 1), *found)
        return Fitted(states, self._ends[1:], metrics, seen)

    def _train(self, key, state, data, begin, end):
        def take(state: Any, index: jax.Array) -> tuple[Any, Mapping[str, jax.Array]]:
            rows = jax.random.randint(jax.random.fold_in(key, index), (self._batch_size,), 0, len(data))
            return self._step(state, data[rows])

        def body(index: jax.Array, loop: tuple[Any, Any]) -> tuple[Any, Any]:
            state, metrics = take(loop[0], index)
            return state, jax.tree.map(jnp.add, loop[1], metrics)

        shapes = jax.eval_shape(take, state, begin)[1]
        zeros = {name: jnp.zeros(of.shape, jnp.float32) for name, of in shapes.items()}
        state, totals = jax.lax.fori_loop(begin, end, body, (state, zeros))
        looked = self._look(jax.random.fold_in(key, end), state)
        return state, {name: total / (end - begin) for name, total in totals.items()}, looked

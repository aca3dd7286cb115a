"""Score networks of toy size, trained in compiled stretches on data that are drawn anew in every step."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from jaxgen.core import progress_bar

Draw = Callable[[jax.Array, int], jax.Array]  # (key, n) -> (n, d)


class ScoreNet(nn.Module):
    """The MLP d-128-128-d as a score: f(x/√(σ² + spread²), ln σ)/σ, with x and σ in the data's units.

    `score(x, sigma)` maps x (b, d) and sigma, () or (b,), to (b, d). Divided by σ, as a score grows, f keeps one scale
    (Song & Ermon 2020, technique 3). spread: root mean square of the data. A score of clean data takes σ = 1.
    """

    width: int = 128
    depth: int = 2
    spread: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array, sigma: ArrayLike = 1.0) -> jax.Array:
        """Evaluate the network."""
        sigma = jnp.broadcast_to(jnp.asarray(sigma, x.dtype), x.shape[:1])[:, None]
        hidden = jnp.concatenate([x / jnp.sqrt(sigma**2 + self.spread**2), jnp.log(sigma)], -1)
        for _ in range(self.depth):
            hidden = nn.silu(nn.Dense(self.width)(hidden))
        return nn.Dense(x.shape[-1])(hidden) / sigma


class Fit(NamedTuple):
    """Trained parameters, and what was followed: the loss, a mean over the steps since the last point, and the rest."""

    params: Any
    steps: np.ndarray
    followed: dict[str, np.ndarray]


class Training:
    """Adam with a learning rate that falls to 0 along a cosine: one compiled program for every seed and argument.

    loss(key, params, *args) -> (B,) draws its own batch. follow(params, *args) -> {name: ()} is evaluated `points`
    times, at equal distances up to one step.
    """

    def __init__(
        self,
        loss: Callable[..., jax.Array],
        *,
        steps: int,
        learning_rate: float,
        points: int = 50,
        follow: Callable[..., dict[str, jax.Array]] | None = None,
        progress: bool = False,
    ):
        self._ends, self._progress = np.linspace(0, steps, min(points, steps) + 1).round().astype(int), progress
        self._optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
        self._loss, self._follow = loss, follow or (lambda params, *args: {})
        self._stretch = jax.jit(self._train)

    def compile(self, key: jax.Array, params: Any, *args: Any) -> None:
        """Compile the program for such arguments and take no step."""
        jax.block_until_ready(self._stretch(key, (params, self._optimizer.init(params)), 0, 0, *args))

    def __call__(self, key: jax.Array, params: Any, *args: Any) -> Fit:
        """Train from these parameters."""
        state, followed = (params, self._optimizer.init(params)), []
        with progress_bar(0, int(self._ends[-1]), visible=self._progress) as show:
            for begin, end in pairwise(self._ends.tolist()):
                state, found = self._stretch(key, state, begin, end, *args)
                followed.append(jax.device_get(found))
                show(end, f"loss {followed[-1]['loss']:.3g}")
        return Fit(state[0], self._ends[1:], {name: np.array([of[name] for of in followed]) for name in followed[0]})

    def _train(self, key, state, begin, end, *args):
        def mean_loss(params, index):
            return self._loss(jax.random.fold_in(key, index), params, *args).mean()

        def step(index, carry):
            params, moments, total = carry
            value, gradient = jax.value_and_grad(mean_loss)(params, index)
            updates, moments = self._optimizer.update(gradient, moments)
            return optax.apply_updates(params, updates), moments, total + value

        params, moments, total = jax.lax.fori_loop(begin, end, step, (*state, jnp.zeros(())))
        return (params, moments), {"loss": total / (end - begin)} | self._follow(params, *args)


@partial(jax.jit, static_argnums=(0, 2))
def initial(net: ScoreNet, key: jax.Array, dims: int = 2) -> Any:
    """The network's first parameters."""
    # an "rbg" key compiles the initialisation in a third of the time
    key = jax.random.wrap_key_data(jnp.tile(jax.random.key_data(key), 2), impl="rbg")
    return net.init(key, jnp.zeros((1, dims)))

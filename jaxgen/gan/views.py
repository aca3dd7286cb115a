"""What a critic sees of data: the data, the data with instance noise, or states of Diffusion-GAN's chain."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from jaxgen.core import check_not_negative, is_traced
from jaxgen.gan._adaptive_diffusion import AdaptiveDiffusion
from jaxgen.gan.critic import Critic, instance_noise

Schedule = Callable[[Array], ArrayLike]
"""Number of the generator's updates before this step () -> a value (), as optax's schedules."""

Carry = dict[str, PyTree]


class View(NamedTuple):
    """How the critic sees data, and what is carried from update to update for it.

    Attributes:
        of: (key, judge, carry, before) -> the critic of unseen data x, where judge is a function (x, *seen): `seen` are
            the times of noised data. The view is that of the critic's next update, or of one `before` it.
        carry: the initial carry.
        counts: whether the view depends on the number of the critic's updates.
        advance: (key, carry, logits of real data) -> (metrics, new carry), after an update of the critic.
    """

    of: Callable[[Array, Callable[..., Any], Carry, int], Critic]
    carry: Carry = {}  # noqa: RUF012, it is never written to
    counts: bool = False
    advance: Callable[[Array, Carry, Array], tuple[dict[str, Array], Carry]] = lambda key, carry, logits: ({}, {})


def plain_view() -> View:
    """The data as they are."""
    return View(lambda key, judge, carry, before: judge)


def noised_view(noise: ArrayLike | Schedule, critic_steps: int) -> View:
    """The data with instance noise, of a σ that may follow a schedule; each key gives its own noise."""
    if callable(noise):

        def scheduled(key: Array, judge: Critic, carry: Carry, before: int) -> Critic:
            played = jnp.maximum(carry["updates"] - before, 0) // critic_steps
            return instance_noise(key, judge, noise(played))

        return View(scheduled, counts=True)
    check_not_negative(noise=noise)
    if not is_traced(noise) and np.all(np.asarray(noise) == 0):
        return plain_view()
    return View(lambda key, judge, carry, before: instance_noise(key, judge, noise))


def diffused_view(chain: AdaptiveDiffusion) -> View:
    """The data as states of the chain, with their times; its length follows the logits of real data."""

    def of(key: Array, judge: Callable[[Array, Array], Any], carry: Carry, before: int) -> Critic:
        return lambda x: judge(*chain.perturb(key, carry["chain_state"], x))

    def advance(key: Array, carry: Carry, real_logits: Array) -> tuple[dict[str, Array], Carry]:
        state = carry["chain_state"]
        return {"diffusion_steps": chain.steps(state)}, {"chain_state": chain.update(key, state, real_logits)}

    return View(of, {"chain_state": chain.init(jax.random.key(0))}, advance=advance)

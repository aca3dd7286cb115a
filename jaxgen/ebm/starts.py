"""Where the chains of the negative samples start: in a replay buffer, in a fixed distribution, or at the data."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxgen.core import check_at_least
from jaxgen.distributions import Distribution


class ChainStarts(NamedTuple):
    """Where chains start, and what is kept of their ends; pure functions of an explicit carry.

    Attributes:
        draw: (key, carry, x) -> (starts (B, *event), slots) for data x (B, *event). What the slots are is between
            `draw` and `keep`.
        keep: (carry, slots, ends (B, *event)) -> the carry of the next step.
        carry: the carry of the first step, a dict.
    """

    draw: Callable[[Array, dict[str, PyTree], Array], tuple[Array, Any]]
    keep: Callable[[dict[str, PyTree], Any, Array], dict[str, PyTree]] = lambda carry, slots, ends: carry
    carry: dict[str, PyTree] = {}  # noqa: RUF012, it is never written to


def persistent_chains(
    key: Key[Array, ""],
    reference: Distribution,
    shape: tuple[int, ...],
    *,
    size: int = 10_000,
    reinitialise: float | int = 0.05,
) -> ChainStarts:
    """Chains that continue where earlier ones ended: a replay buffer (persistent contrastive divergence).

    Each step takes B different entries of the buffer, replaces a share of them by draws of the reference, and puts the
    ends of the chains back in their places. The buffer is `state.carry["buffer"]`, an array, so checkpoints save it.

    Args:
        key: draws the first contents.
        reference: the distribution of the first contents and of chains that start anew.
        shape: shape of one example.
        size: entries of the buffer, at least the batch size.
        reinitialise: probability in [0, 1] with which a chain starts anew.

    Returns:
        The starts.

    Raises:
        ValueError: if size < 1, or reinitialise is outside [0, 1]; at the first step, if the batch is larger than the
            buffer or of another shape.

    Reference:
        Tieleman 2008, "Training restricted Boltzmann machines using approximations to the likelihood gradient"; Du &
        Mordatch 2019, §3.2.
    """
    check_at_least(1, size=size)
    if not 0 <= reinitialise <= 1:
        raise ValueError(f"reinitialise is a probability in [0, 1], got {reinitialise}")

    def draw(
        key: Key[Array, ""], carry: dict[str, PyTree], x: Float[Array, "b *event"]
    ) -> tuple[Float[Array, "b *event"], Int[Array, " b"]]:
        if len(x) > size or x.shape[1:] != tuple(shape):
            raise ValueError(
                f"the buffer has {size} entries of shape {tuple(shape)}, and the batch {len(x)} of {x.shape[1:]}: give "
                "persistent_chains the shape of one example, and a size of at least the batch size"
            )
        slot_key, fresh_key, choice_key = jax.random.split(key, 3)
        slots = jax.random.choice(slot_key, size, (len(x),), replace=False)
        fresh = reference.sample(fresh_key, x.shape).astype(x.dtype)
        anew = jax.random.bernoulli(choice_key, reinitialise, (len(x),) + (1,) * len(shape))
        return jnp.where(anew, fresh, carry["buffer"][slots].astype(x.dtype)), slots

    def keep(carry: dict[str, PyTree], slots: Int[Array, " b"], ends: Float[Array, "b *event"]) -> dict[str, PyTree]:
        buffer = carry["buffer"]
        return {"buffer": buffer.at[slots].set(ends.astype(buffer.dtype))}

    return ChainStarts(draw, keep, {"buffer": reference.sample(key, (size, *shape))})


def short_run_chains(reference: Distribution) -> ChainStarts:
    """Chains that start anew in every step, as draws of a fixed distribution.

    Short chains do not reach the model's density. What is learned then is a sampler, the chain of this length from this
    start, and its energy need not be that of any density.

    Args:
        reference: the distribution of the starts.

    Returns:
        The starts, without a carry.

    Reference:
        Nijkamp et al. 2019, "Learning non-convergent non-persistent short-run MCMC toward energy-based model".
    """
    return ChainStarts(lambda key, carry, x: (reference.sample(key, x.shape).astype(x.dtype), None))


def data_chains() -> ChainStarts:
    """Chains that start at the data of the batch (contrastive divergence).

    Returns:
        The starts, without a carry.

    Reference:
        Hinton 2002, "Training products of experts by minimizing contrastive divergence".
    """
    return ChainStarts(lambda key, carry, x: (x, None))

"""Critics: functions of a batch that return one logit per example, their gradients, and their noised inputs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxgen.core import check_floating, check_not_negative, noise, threefry_key

Critic = Callable[[Array], Array]
"""x (B, *event) -> logits (B,). Large logits mean real. What else the critic sees, such as labels, it closes over."""


def instance_noise(key: Key[Array, "..."], critic: Critic, sigma: ArrayLike) -> Critic:
    """Return the critic of noised inputs, x ↦ D(x + σε), at one draw of ε ~ N(0, I) per example.

    Real and fake data should get keys of their own. `adversarial_objectives` sees to that, and anneals σ.

    Args:
        key: one key, or keys (B,), one per example.
        critic: the critic.
        sigma: standard deviation σ ≥ 0 of the noise, (). It may be traced.

    Returns:
        The critic of noised inputs. Each of its calls adds the same noise.

    Raises:
        ValueError: if a concrete sigma is negative or not finite.

    Reference:
        Sønderby et al. 2017, "Amortised MAP inference for image super-resolution"; Arjovsky & Bottou 2017,
        "Towards principled methods for training GANs", §3.

    Example:
        >>> noised = gan.instance_noise(key, lambda x: net.apply(params, x), 0.1)
    """
    check_not_negative(sigma=sigma)

    def noised(x: Float[Array, "b *event"]) -> Float[Array, " b"]:
        eps = noise(example_keys(key, len(x)), x.shape[1:], x.dtype)
        return critic(x + jnp.asarray(sigma, x.dtype) * eps)

    return noised


def logits_of(critic: Critic, x: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """The critic's logits; raises ValueError unless there is one per example."""
    check_floating(x)
    logits = critic(x)
    if logits.shape != x.shape[:1]:
        raise ValueError(
            f"the critic must return one logit per example, {x.shape[:1]}, got {logits.shape}: squeeze the last axis "
            "of a network with one output"
        )
    return logits


def squared_gradient_norm(critic: Critic, x: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """‖∇_x D(x)‖² of each example, for a critic that treats each example alone."""
    gradient = jax.grad(lambda x: logits_of(critic, x).sum())(x)
    return jnp.sum(gradient**2, axis=tuple(range(1, x.ndim)))


def example_keys(key: Key[Array, "..."], n: int) -> Key[Array, " b"]:
    """Keys (n,): those given, or n of one key."""
    if key.ndim and key.shape != (n,):
        raise ValueError(f"need one key (), or a key for each of the {n} examples, got keys of shape {key.shape}")
    return threefry_key(key if key.ndim else jax.random.split(key, n))

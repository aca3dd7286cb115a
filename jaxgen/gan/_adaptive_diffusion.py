"""Diffusion-GAN: the critic's inputs are noised by a chain whose length follows the critic's overfitting."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxgen.core import PytreeDataclass, check_at_least, check_choice, check_positive, per_example

TimeLaw = Literal["priority", "uniform"]


class AdaptiveDiffusionState(PytreeDataclass):
    """What Diffusion-GAN keeps from one minibatch to the next.

    Attributes:
        p: strength of the noise in [0, 1], float32 ().
        times: steps from which each example draws its own, int32 (draws,); 0 is no noise.
        minibatches: minibatches since the last change of p, int32 ().
        images: real examples in them, int32 ().
        signs: sum of the signs of the critic's logits of these examples, float32 ().
    """

    p: Any
    times: Any
    minibatches: Any
    images: Any
    signs: Any


class AdaptiveDiffusion(NamedTuple):
    """Four pure functions of an explicit state.

    Attributes:
        init: key () -> the state at p = 0.
        steps: state -> the length T of the chain, int32 ().
        perturb: (key, state, x0) -> (x_t, t) for x0 (B, *event); t (B,) is float32 in [0, 1], 0 without noise.
        update: (key, state, logits of real examples (B,)) -> the state after one minibatch.
    """

    init: Callable[[Array], AdaptiveDiffusionState]
    steps: Callable[[AdaptiveDiffusionState], Array]
    perturb: Callable[[Array, AdaptiveDiffusionState, Array], tuple[Array, Array]]
    update: Callable[[Array, AdaptiveDiffusionState, Array], AdaptiveDiffusionState]


def adaptive_diffusion(
    *,
    std: float | int = 0.05,
    min_steps: int = 10,
    max_steps: int = 1000,
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
    time_law: TimeLaw = "priority",
    draws: int = 64,
    target: float = 0.6,
    interval: int = 4,
    kimg: float | int = 100.0,
) -> AdaptiveDiffusion:
    """Diffusion-GAN's forward chain with adaptive length, for any critic (x_t, t) -> logits.

        x_t = √ᾱ_t x0 + √(1 − ᾱ_t) std ε

    β rises linearly from beta_start to beta_end over the current T = min_steps + round((max_steps − min_steps) p)
    steps. Each example draws its step from a list, one half of which is 0, and the other half of which was drawn from
    1 … T at the last update. After every `interval` minibatches the list is drawn anew, and

        p ← p + sign(E[sign D(real)] − target) · images/(1000 kimg),    clipped to [0, 1],

    where `images` are the real examples since the last change. Real and generated examples pass through the same chain.
    x_t is differentiable in x0, and nothing is compiled anew as T changes.

    Args:
        std: standard deviation > 0 of the noise that replaces the data as ᾱ → 0, for data in [-1, 1].
        min_steps: T ≥ 1 at p = 0.
        max_steps: T ≥ min_steps at p = 1.
        beta_start: first β, in (0, 1).
        beta_end: last β, beta_start ≤ beta_end < 1.
        time_law: "priority": P(t) ∝ t. "uniform": each step is equally likely.
        draws: length of the list, even.
        target: the mean sign of the critic's logits of real examples at which p stands still, in (−1, 1).
        interval: minibatches from one change of p to the next, at least 1.
        kimg: thousands of real examples in which p rises from 0 to 1, positive.

    Returns:
        The functions. Their state fits into the carry of `training.create_adversarial_state`.

    Raises:
        ValueError: if an argument is outside the ranges above.

    Reference:
        Wang et al. 2022, "Diffusion-GAN: Training GANs with Diffusion", eq. 1, §3.3 and appendix; the signal of p:
        Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", eq. 1.

    Example:
        ```python
        chain = gan.adaptive_diffusion()

        def critic_loss(key, critic, generator, x, chain_state):
            real_key, fake_key, latent_key, update_key = jax.random.split(key, 4)
            fake = generate(generator, latent_key, len(x))
            real = judge(critic, *chain.perturb(real_key, chain_state, x))
            fake = judge(critic, *chain.perturb(fake_key, chain_state, fake))
            losses = jax.nn.softplus(-real) + jax.nn.softplus(fake)
            return losses, {}, {"chain_state": chain.update(update_key, chain_state, real)}
        ```
    """
    check_positive(std=std, kimg=kimg)
    check_at_least(1, min_steps=min_steps, interval=interval)
    check_at_least(min_steps, max_steps=max_steps)
    if not 0 < beta_start <= beta_end < 1:
        raise ValueError(f"need 0 < beta_start <= beta_end < 1, got beta_start={beta_start}, beta_end={beta_end}")
    check_choice(TimeLaw, time_law=time_law)
    if draws < 2 or draws % 2:
        raise ValueError(f"one half of the draws is 0, so draws must be even and positive, got {draws}")
    if not -1 < target < 1:
        raise ValueError(f"target is a mean of signs and must lie in (-1, 1), got {target}")

    def steps(state: AdaptiveDiffusionState) -> Int[Array, ""]:
        return min_steps + jnp.round((max_steps - min_steps) * state.p).astype(jnp.int32)

    def log_alpha_bar(length: Int[Array, ""]) -> Float[Array, " steps"]:
        """½ log ᾱ of the steps 0 … max_steps of a chain of this length; those beyond it are not drawn."""
        i = jnp.arange(max_steps)
        betas = beta_start + (beta_end - beta_start) * jnp.minimum(i / jnp.maximum(length - 1, 1), 1)
        return jnp.concatenate([jnp.zeros(1), 0.5 * jnp.cumsum(jnp.log1p(-betas))])

    def draw_times(key: Key[Array, ""], length: Int[Array, ""]) -> Int[Array, " draws"]:
        step = jnp.arange(1, max_steps + 1)
        weights = jnp.where(step <= length, step if time_law == "priority" else 1, 0)
        times = jax.random.choice(key, step.astype(jnp.int32), (draws // 2,), p=weights / weights.sum())
        return jnp.concatenate([jnp.zeros(draws // 2, jnp.int32), times])

    def init(key: Key[Array, ""]) -> AdaptiveDiffusionState:
        # distinct arrays, since a train step donates each of them
        p, minibatches, images, signs = jnp.zeros(()), jnp.int32(0), jnp.int32(0), jnp.zeros(())
        return AdaptiveDiffusionState(p, draw_times(key, jnp.int32(min_steps)), minibatches, images, signs)

    def perturb(
        key: Key[Array, ""], state: AdaptiveDiffusionState, x0: Float[Array, "b *event"]
    ) -> tuple[Float[Array, "b *event"], Float[Array, " b"]]:
        time_key, noise_key = jax.random.split(key)
        step = jax.random.choice(time_key, state.times, (x0.shape[0],))
        log_alpha = per_example(log_alpha_bar(steps(state))[step].astype(x0.dtype), x0)
        noise_scale = std * jnp.sqrt(-jnp.expm1(2 * log_alpha))
        x_t = jnp.exp(log_alpha) * x0 + noise_scale * jax.random.normal(noise_key, x0.shape, x0.dtype)
        return x_t, step.astype(jnp.float32) / max_steps

    def update(
        key: Key[Array, ""], state: AdaptiveDiffusionState, real_logits: Float[Array, " b"]
    ) -> AdaptiveDiffusionState:
        minibatches, images = state.minibatches + 1, state.images + real_logits.shape[0]
        signs = state.signs + jnp.sum(jnp.sign(jax.lax.stop_gradient(real_logits)).astype(jnp.float32))
        counted = state.replace(minibatches=minibatches, images=images, signs=signs)
        change = jnp.sign(signs / images - target) * images / (1000 * kimg)
        changed = state.replace(
            p=jnp.clip(state.p + change, 0, 1),
            minibatches=jnp.zeros_like(minibatches),
            images=jnp.zeros_like(images),
            signs=jnp.zeros_like(signs),
        )
        changed = changed.replace(times=draw_times(key, steps(changed)))
        due = minibatches >= interval
        return jax.tree.map(lambda new, old: jnp.where(due, new, old), changed, counted)

    return AdaptiveDiffusion(init, steps, perturb, update)

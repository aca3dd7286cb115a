"""Penalties on the critic's gradient with respect to its input, applied at once, lazily or by a schedule.

Each is added to the critic's loss. A penalty is a function (key, critic, real, fake) -> (B,), so that any such function
can be one. Weight decay of the critic is the optimiser's: `optax.adamw(rate, weight_decay=…)`, or
`optax.add_decayed_weights` before the rate for a decay that is part of the gradient.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Key

from jaxgen.core import check_at_least, check_not_negative, per_example
from jaxgen.gan.critic import Critic, example_keys, squared_gradient_norm

Penalty = Callable[[Array, Critic, Array, Array], Array]
"""(key, critic, real (B, *event), fake (B, *event)) -> penalties (B,)."""


def r1(gamma: ArrayLike) -> Penalty:
    """The penalty γ/2 ‖∇_x D(x)‖² at real data.

    Some trainers leave out the ½: their strength of 10 is γ = 20 here.

    The gradient is that of the sum of the batch's logits. If a logit depends on other examples, as by the statistics of
    a minibatch, the penalty also has their logits' slopes in x. `r2` and `gradient_penalty` are alike.

    Args:
        gamma: strength γ ≥ 0, (). It may be traced.

    Returns:
        The penalty.

    Raises:
        ValueError: if a concrete gamma is negative or not finite.

    Reference:
        Mescheder et al. 2018, "Which training methods for GANs do actually converge?", eq. 9.
    """
    check_not_negative(gamma=gamma)
    return lambda key, critic, real, fake: gamma / 2 * squared_gradient_norm(critic, real)


def r2(gamma: ArrayLike) -> Penalty:
    """The penalty γ/2 ‖∇_x D(x)‖² at fake data.

    Args:
        gamma: strength γ ≥ 0, (). It may be traced.

    Returns:
        The penalty.

    Raises:
        ValueError: if a concrete gamma is negative or not finite.

    Reference:
        Mescheder et al. 2018, "Which training methods for GANs do actually converge?", eq. 10.
    """
    check_not_negative(gamma=gamma)
    return lambda key, critic, real, fake: gamma / 2 * squared_gradient_norm(critic, fake)


def gradient_penalty(weight: ArrayLike = 10.0, target: ArrayLike = 1.0) -> Penalty:
    """The WGAN-GP penalty λ (‖∇_x D(x̂)‖ − g₀)² at x̂ = u·real + (1 − u)·fake, with u ~ U[0, 1] for each pair.

    Args:
        weight: strength λ ≥ 0, (). The paper takes 10 for images and 0.1 for points in the plane.
        target: the norm g₀ ≥ 0 that gradients should have, ().

    Returns:
        The penalty. Its key may be one per pair, (B,). Where the gradient is 0, its own gradient is 0.

    Raises:
        ValueError: if a concrete weight or target is negative or not finite.

    Reference:
        Gulrajani et al. 2017, "Improved training of Wasserstein GANs", eq. 3.
    """
    check_not_negative(weight=weight, target=target)

    def penalty(
        key: Key[Array, "..."], critic: Critic, real: Float[Array, "b *event"], fake: Float[Array, "b *event"]
    ) -> Float[Array, " b"]:
        if real.shape != fake.shape:
            raise ValueError(f"interpolation needs real and fake data of one shape, got {real.shape} and {fake.shape}")
        uniform = jax.vmap(lambda key: jax.random.uniform(key, (), real.dtype))(example_keys(key, len(real)))
        u = per_example(uniform, real)
        squared = squared_gradient_norm(critic, u * real + (1 - u) * fake)
        norm = jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)  # sqrt has no slope at 0
        return weight * (norm - target) ** 2

    return penalty


class LazyPenalty(NamedTuple):
    """A penalty that is evaluated in every `interval`-th update of the critic, the first included; made by `lazy`."""

    penalty: Penalty
    interval: int
    scaled: bool

    @property
    def factor(self) -> int:
        """What the penalty is multiplied by: the interval if it is scaled, and 1 otherwise."""
        return self.interval if self.scaled else 1

    def is_due(self, update: ArrayLike) -> Bool[Array, ""]:
        """Whether it is the penalty's turn, by the number of the critic's updates so far, int ()."""
        return jnp.asarray(update) % self.interval == 0

    def at(
        self,
        update: ArrayLike,
        key: Key[Array, "..."],
        critic: Critic,
        real: Float[Array, "b *event"],
        fake: Float[Array, "b *event"],
    ) -> Float[Array, " b"]:
        """Evaluate the penalty if it is its turn, and return zeros otherwise.

        Args:
            update: the number of the critic's updates so far, int ().
            key: as the penalty takes it.
            critic: the critic.
            real: real data (B, *event).
            fake: fake data (B, *event).

        Returns:
            The penalties (B,).
        """

        def evaluated() -> Array:
            return self.factor * self.penalty(key, critic, real, fake)

        shape = jax.eval_shape(evaluated)
        zeros = lambda: jnp.zeros(shape.shape, shape.dtype)  # noqa: E731
        return jax.lax.cond(self.is_due(update), evaluated, zeros)


def lazy(penalty: Penalty, interval: int, *, scaled: bool = True) -> LazyPenalty:
    """Evaluate a penalty in every `interval`-th update of the critic only, the first included.

    The critic's loss has the penalty on its turns alone. The metric is its mean when it was last evaluated, without the
    factor, so that it is comparable with that of a penalty in every update.

    Args:
        penalty: the penalty, such as `r1(gamma)`.
        interval: number of updates from one evaluation to the next, at least 1.
        scaled: whether the penalty is multiplied by the interval, which keeps its mean over the updates. Some authors
            do not: their γ then acts as γ/interval.

    Returns:
        The lazy penalty, for `adversarial_objectives`, which counts the updates. Loss functions of your own count them
        in the carry that the players share, and call `LazyPenalty.at`.

    Raises:
        ValueError: if interval < 1.

    Reference:
        Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", §3.1.

    Example:
        >>> gan.lazy(gan.r1(gamma=0.05), interval=15, scaled=False)  # as denoising diffusion GANs have it
    """
    check_at_least(1, interval=interval)
    return LazyPenalty(penalty, interval, scaled)


class ScheduledPenalty(NamedTuple):
    """A penalty that depends on the number of the critic's updates so far; made by `scheduled`."""

    penalty: Callable[[Array], Penalty]

    def at(
        self,
        update: ArrayLike,
        key: Key[Array, "..."],
        critic: Critic,
        real: Float[Array, "b *event"],
        fake: Float[Array, "b *event"],
    ) -> Float[Array, " b"]:
        """Evaluate the penalty, as `LazyPenalty.at` does on its turn."""
        return self.penalty(jnp.asarray(update))(key, critic, real, fake)


def scheduled(penalty: Callable[[Array], Penalty]) -> ScheduledPenalty:
    """Let a penalty follow the number of the critic's updates, such as one whose strength falls during training.

    Args:
        penalty: from the number of the critic's updates so far, int32 (), to the penalty.

    Returns:
        The scheduled penalty, for `adversarial_objectives`, which counts the updates. Loss functions of your own count
        them in the carry that the players share, and call `ScheduledPenalty.at`.

    Reference:
        Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern GAN Baseline", appendix (R3GAN's γ falls along
        a cosine).

    Example:
        >>> gan.scheduled(lambda update: gan.r1(0.1 * 0.01 ** (update / 10_000)))
    """
    return ScheduledPenalty(penalty)

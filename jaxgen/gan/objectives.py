"""The loss functions of two players, from a generator, a critic, an adversarial loss and penalties."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Key, PyTree

from jaxgen.core import check_at_least, check_not_negative, is_traced
from jaxgen.gan.critic import Critic, instance_noise, logits_of
from jaxgen.gan.losses import AdversarialLoss
from jaxgen.gan.penalties import LazyPenalty, Penalty

Schedule = Callable[[Array], ArrayLike]
"""Number of steps of the game so far () -> a value (), as optax's schedules."""


class AdversarialObjectives(NamedTuple):
    """The two loss functions that `training.make_adversarial_step` takes, and what the states must carry for them.

    Attributes:
        generator: (key, generator_params, critic_params, batch, **carry) -> (losses (B,), metrics, carry).
        critic: (key, critic_params, generator_params, batch, **carry) -> (losses (B,), metrics, carry).
        carry: the initial carry of each player's state, an argument of `training.create_state`. It is empty unless a
            penalty is lazy, the instance noise follows a schedule, or the critic has a state.
    """

    generator: Callable[..., tuple[Array, dict[str, Array], dict[str, PyTree]]]
    critic: Callable[..., tuple[Array, dict[str, Array], dict[str, PyTree]]]
    carry: dict[str, PyTree]


def adversarial_objectives(
    generator: Callable[..., Array],
    critic: Callable[..., Any],
    loss: AdversarialLoss,
    *,
    penalties: Mapping[str, Penalty | LazyPenalty] | None = None,
    noise: ArrayLike | Schedule = 0.0,
    critic_steps: int = 1,
    critic_state: PyTree = None,
) -> AdversarialObjectives:
    """Make both players' loss functions of any generator and critic.

    A batch is real data x (B, *event), or a tuple (x, *cond) of it and of what both players are told, such as labels.

    The metrics are the means of `real_logit` and `fake_logit` for the critic, with each penalty by its name, and of
    `fake_logit` for the generator.

    Args:
        generator: (key, params, x, *cond) -> fake data of x's shape. Only the shape of x may matter.
        critic: (params, x, *cond) -> logits (B,). With a `critic_state` it is (params, x, *cond, state) -> (logits,
            state), which is how spectral normalisation remembers its power iteration.
        loss: the adversarial loss.
        penalties: the critic's penalties by name. A lazy one is evaluated when its turn is.
        noise: σ ≥ 0 of the instance noise on all that the critic sees, (), or a schedule of it, which takes the number
            of the generator's updates so far. Each example and each call of the critic has noise of its own.
        critic_steps: as given to `training.make_adversarial_step`; schedules need it, for the critic counts its own
            updates.
        critic_state: the initial state of the critic; None if it has none. Each player carries one: it is advanced once
            for each of the player's updates, by the critic's call on the real data.

    Returns:
        The loss functions and their carry.

    Raises:
        ValueError: if critic_steps < 1, or a concrete noise is negative or not finite; at the first call, if the critic
            does not return one logit per example, or the fake data have not the shape of the real ones.

    Example:
        ```python
        def generator(key, params, x):
            return nets[0].apply(params, jax.random.normal(key, (len(x), 16)))

        def critic(params, x):
            return nets[1].apply(params, x).squeeze(-1)

        objectives = gan.adversarial_objectives(generator, critic, gan.non_saturating(), penalties={"r1": gan.r1(0.1)})
        step = training.make_adversarial_step(objectives.generator, objectives.critic, *optimizers)
        ```
    """
    check_at_least(1, critic_steps=critic_steps)
    if not callable(noise):
        check_not_negative(noise=noise)
    penalties = dict(penalties or {})
    counted = callable(noise) or any(isinstance(penalty, LazyPenalty) for penalty in penalties.values())
    carry: dict[str, PyTree] = {"updates": jnp.int32(0)} if counted else {}
    if critic_state is not None:
        carry["critic_state"] = critic_state

    def sigma(updates: Array | None, per_step: int) -> ArrayLike:
        return noise(updates // per_step) if callable(noise) else noise

    def play(
        key: Key[Array, ""],
        generator_params: PyTree,
        critic_params: PyTree,
        batch: Any,
        sigma: ArrayLike,
        state: PyTree,
    ) -> _Round:
        x, *cond = batch if isinstance(batch, tuple) else (batch,)
        draw_key, *noise_keys = jax.random.split(key, 4)
        fake = generator(draw_key, generator_params, x, *cond)
        if fake.shape != x.shape:
            raise ValueError(f"the generator must return data of the real data's shape {x.shape}, got {fake.shape}")
        if critic_state is not None:
            state = jax.lax.stop_gradient(critic(critic_params, x, *cond, state)[1])

        def judge(x: Array) -> Array:
            return (
                critic(critic_params, x, *cond) if critic_state is None else critic(critic_params, x, *cond, state)[0]
            )

        quiet = not callable(noise) and not is_traced(noise) and np.all(np.asarray(noise) == 0)
        on_real, on_fake, on_either = [judge if quiet else instance_noise(key, judge, sigma) for key in noise_keys]
        return _Round(x, fake, logits_of(on_real, x), logits_of(on_fake, fake), on_either, state)

    def advanced(updates: Array | None, state: PyTree) -> dict[str, PyTree]:
        new = {} if updates is None else {"updates": updates + 1}
        return new if state is None else new | {"critic_state": state}

    def generator_loss(
        key: Key[Array, ""],
        generator_params: PyTree,
        critic_params: PyTree,
        batch: Any,
        *,
        updates: Array | None = None,
        critic_state: PyTree = None,
    ) -> tuple[Array, dict[str, Array], dict[str, PyTree]]:
        played = play(key, generator_params, critic_params, batch, sigma(updates, 1), critic_state)
        losses = loss.generator(played.real_logits, played.fake_logits)
        return losses, {"fake_logit": played.fake_logits}, advanced(updates, played.state)

    def critic_loss(
        key: Key[Array, ""],
        critic_params: PyTree,
        generator_params: PyTree,
        batch: Any,
        *,
        updates: Array | None = None,
        critic_state: PyTree = None,
    ) -> tuple[Array, dict[str, Array], dict[str, PyTree]]:
        play_key, *penalty_keys = jax.random.split(key, 1 + len(penalties))
        played = play(play_key, generator_params, critic_params, batch, sigma(updates, critic_steps), critic_state)
        losses = loss.critic(played.real_logits, played.fake_logits)
        metrics = {"real_logit": played.real_logits, "fake_logit": played.fake_logits}
        for penalty_key, (name, penalty) in zip(penalty_keys, penalties.items(), strict=True):
            evaluate = partial(penalty.at, updates) if isinstance(penalty, LazyPenalty) else penalty
            metrics[name] = evaluate(penalty_key, played.critic, played.real, played.fake)
            losses = losses + metrics[name]
        return losses, metrics, advanced(updates, played.state)

    return AdversarialObjectives(generator_loss, critic_loss, carry)


class _Round(NamedTuple):
    """Real and fake data and their logits, the critic for penalties, and the critic's new state."""

    real: Array
    fake: Array
    real_logits: Array
    fake_logits: Array
    critic: Critic
    state: PyTree


def consensus(objectives: AdversarialObjectives, gamma: ArrayLike) -> AdversarialObjectives:
    """Add consensus optimisation: both players' losses get γ/2 ‖v‖², v the gradients of both mean losses.

    v is taken on the batch and the key of the player. Its second derivatives cost about twice the gradients. See
    `consensus_field` for the same without sampling.

    Args:
        objectives: the loss functions of both players.
        gamma: strength γ ≥ 0, (). It may be traced.

    Returns:
        The loss functions with the penalty, which stands in the metrics as `consensus`.

    Raises:
        ValueError: if a concrete gamma is negative or not finite, or a penalty is called consensus.

    Reference:
        Mescheder et al. 2017, "The numerics of GANs", eq. 11 and algorithm 2.
    """
    check_not_negative(gamma=gamma)

    def penalty(key: Key[Array, ""], generator_params: PyTree, critic_params: PyTree, batch: Any, carry: dict) -> Array:
        def mean(of: Callable, own: PyTree, other: PyTree) -> Array:
            return jnp.mean(of(key, own, other, batch, **carry)[0])

        gradients = (
            jax.grad(lambda own: mean(objectives.generator, own, critic_params))(generator_params),
            jax.grad(lambda own: mean(objectives.critic, own, generator_params))(critic_params),
        )
        return gamma / 2 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradients))

    def added(found: tuple, value: Array) -> tuple:
        losses, metrics, carry = found
        if "consensus" in metrics:
            raise ValueError("a penalty is called consensus: give it another name")
        return losses + value, metrics | {"consensus": value}, carry

    def generator_loss(key: Array, own: PyTree, other: PyTree, batch: Any, **carry: PyTree) -> tuple:
        return added(objectives.generator(key, own, other, batch, **carry), penalty(key, own, other, batch, carry))

    def critic_loss(key: Array, own: PyTree, other: PyTree, batch: Any, **carry: PyTree) -> tuple:
        return added(objectives.critic(key, own, other, batch, **carry), penalty(key, other, own, batch, carry))

    return AdversarialObjectives(generator_loss, critic_loss, objectives.carry)

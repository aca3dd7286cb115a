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
"""Number of the generator's updates before this step () -> a value (), as optax's schedules."""


class AdversarialObjectives(NamedTuple):
    """The two loss functions that `training.make_adversarial_step` takes, and the carry that they share.

    Attributes:
        generator: (key, generator_params, critic_params, batch, **carry) -> (losses (B,), metrics, carry).
        critic: (key, critic_params, generator_params, batch, **carry) -> (losses (B,), metrics, carry).
        carry: the initial carry that both players share, an argument of `training.create_adversarial_state`. The
            critic's loss advances it once for each of the critic's updates, and the generator's returns it as it is. It
            has `updates`, the number of the critic's updates so far, if a penalty is lazy or the noise follows a
            schedule; `lazy_penalties`, their means when they were last evaluated; and `critic_state`. It is empty if
            none of these is needed.
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

    The critic sees x alone beside the conditions: it gets no key and no carry but its own state. Denoising diffusion
    GANs and Diffusion-GAN need these, and loss functions of their own.

    The metrics are the means of `real_logit` and `fake_logit` for the critic, with each penalty by its name, and of
    `fake_logit` for the generator.

    Args:
        generator: (key, params, x, *cond) -> fake data of x's shape. Only the shape of x may matter.
        critic: (params, x, *cond) -> logits (B,). With a `critic_state` it is (params, x, *cond, state) -> (logits,
            state), which is how spectral normalisation remembers its power iteration.
        loss: the adversarial loss.
        penalties: the critic's penalties by name. A lazy one is evaluated when its turn is.
        noise: σ ≥ 0 of the instance noise on all that the critic sees, (), or a schedule of it, which takes the number
            n of the generator's updates before this step. It is found from the number u of the critic's updates so far:
            n = u // critic_steps in the critic's loss. A step updates the critic first in either order, so that
            n = max(u − 1, 0) // critic_steps in the generator's. Each example and each call of the critic has noise of
            its own.
        critic_steps: as given to `training.make_adversarial_step`; schedules need it.
        critic_state: the initial state of the critic; None if it has none. Each update of the critic advances it once,
            by the critic's call on the real data. The generator's update leaves it as it is.

    Returns:
        The loss functions and their carry.

    Raises:
        ValueError: if critic_steps < 1, or a concrete noise is negative or not finite; at the first call, if the states
            were created without `carry`, the critic does not return one logit per example, or the fake data have not
            the shape of the real ones.
        TypeError: at the first call, if a batch is neither an array nor a tuple.

    Example:
        ```python
        def generator(key, params, x):
            return nets[0].apply(params, jax.random.normal(key, (len(x), 16)))

        def critic(params, x):
            return nets[1].apply(params, x).squeeze(-1)

        objectives = gan.adversarial_objectives(generator, critic, gan.non_saturating(), penalties={"r1": gan.r1(0.1)})
        step = training.make_adversarial_step(objectives.generator, objectives.critic, *optimizers)
        state = training.create_adversarial_state(key, *params, *optimizers, objectives.carry)
        ```
    """
    check_at_least(1, critic_steps=critic_steps)
    if not callable(noise):
        check_not_negative(noise=noise)
    penalties = dict(penalties or {})
    lazy = {name for name, penalty in penalties.items() if isinstance(penalty, LazyPenalty)}
    carry: dict[str, PyTree] = {}
    if lazy or callable(noise):
        carry["updates"] = jnp.int32(0)
    if lazy:
        carry["lazy_penalties"] = {name: jnp.float32(0) for name in lazy}
    if critic_state is not None:
        carry["critic_state"] = critic_state

    def sigma(carried: dict[str, PyTree], before: int = 0) -> ArrayLike:
        """σ of the critic's next update, or of one before it."""
        return noise(jnp.maximum(carried["updates"] - before, 0) // critic_steps) if callable(noise) else noise

    def play(
        key: Key[Array, ""],
        generator_params: PyTree,
        critic_params: PyTree,
        batch: Any,
        sigma: ArrayLike,
        state: PyTree,
        advances: bool,
    ) -> _Round:
        x, *cond = _as_tuple(batch)
        draw_key, *noise_keys = jax.random.split(key, 4)
        fake = generator(draw_key, generator_params, x, *cond)
        if fake.shape != x.shape:
            raise ValueError(f"the generator must return data of the real data's shape {x.shape}, got {fake.shape}")
        if advances and critic_state is not None:
            state = jax.lax.stop_gradient(critic(critic_params, x, *cond, state)[1])

        def judge(x: Array) -> Array:
            return (
                critic(critic_params, x, *cond) if critic_state is None else critic(critic_params, x, *cond, state)[0]
            )

        quiet = not callable(noise) and not is_traced(noise) and np.all(np.asarray(noise) == 0)
        on_real, on_fake, on_either = [judge if quiet else instance_noise(key, judge, sigma) for key in noise_keys]
        return _Round(x, fake, logits_of(on_real, x), logits_of(on_fake, fake), on_either, state)

    def generator_loss(
        key: Key[Array, ""], generator_params: PyTree, critic_params: PyTree, batch: Any, **carried: PyTree
    ) -> tuple[Array, dict[str, Array], dict[str, PyTree]]:
        _check_carried(carry, carried)
        state = carried.get("critic_state")
        played = play(key, generator_params, critic_params, batch, sigma(carried, before=1), state, advances=False)
        losses = loss.generator(played.real_logits, played.fake_logits)
        return losses, {"fake_logit": played.fake_logits}, carried

    def critic_loss(
        key: Key[Array, ""], critic_params: PyTree, generator_params: PyTree, batch: Any, **carried: PyTree
    ) -> tuple[Array, dict[str, Array], dict[str, PyTree]]:
        _check_carried(carry, carried)
        play_key, *penalty_keys = jax.random.split(key, 1 + len(penalties))
        state = carried.get("critic_state")
        played = play(play_key, generator_params, critic_params, batch, sigma(carried), state, advances=True)
        losses = loss.critic(played.real_logits, played.fake_logits)
        metrics = {"real_logit": played.real_logits, "fake_logit": played.fake_logits}
        for penalty_key, (name, penalty) in zip(penalty_keys, penalties.items(), strict=True):
            evaluate = partial(penalty.at, carried["updates"]) if name in lazy else penalty
            values = evaluate(penalty_key, played.critic, played.real, played.fake)
            losses = losses + values
            if name in lazy:
                mean = values.mean().astype(jnp.float32) / penalty.factor
                values = jnp.where(penalty.is_due(carried["updates"]), mean, carried["lazy_penalties"][name])
            metrics[name] = values
        new = {"lazy_penalties": {name: metrics[name] for name in lazy}, "critic_state": played.state}
        if "updates" in carry:
            new["updates"] = carried["updates"] + 1
        return losses, metrics, {name: new[name] for name in carry}

    return AdversarialObjectives(generator_loss, critic_loss, carry)


def _as_tuple(batch: Any) -> tuple:
    """(x, *cond) of a batch."""
    if isinstance(batch, tuple):
        return batch
    if not hasattr(batch, "shape"):
        remedy = "tuple(batch)" if isinstance(batch, list) else "the data, or a tuple"
        raise TypeError(f"a batch is an array x or a tuple (x, *cond), got {type(batch).__name__}: pass {remedy}")
    return (batch,)


def _check_carried(carry: dict[str, PyTree], carried: dict[str, PyTree]) -> None:
    """Raise ValueError unless the state's carry has the entries of the objectives'."""
    remedy = "create the states with carry=objectives.carry, an argument of training.create_adversarial_state"
    if missing := sorted(carry.keys() - carried.keys()):
        raise ValueError(f"the state's carry has no {', '.join(missing)}: {remedy}")
    if foreign := sorted(carried.keys() - carry.keys()):
        raise ValueError(f"the state's carry has {', '.join(foreign)}, which these objectives do not know: {remedy}")


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

    v is taken on the batch and the key of the player, with the noise of the step, and with the lazy penalties of the
    critic's update: in the generator's loss these are of its last one. Its second derivatives cost about twice the
    gradients. See `consensus_field` for the same without sampling.

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

    def penalty(
        key: Key[Array, ""],
        generator_params: PyTree,
        critic_params: PyTree,
        batch: Any,
        generator_carry: dict[str, PyTree],
        critic_carry: dict[str, PyTree],
    ) -> Array:
        def mean(of: Callable, own: PyTree, other: PyTree, carry: dict[str, PyTree]) -> Array:
            return jnp.mean(of(key, own, other, batch, **carry)[0])

        gradients = (
            jax.grad(lambda own: mean(objectives.generator, own, critic_params, generator_carry))(generator_params),
            jax.grad(lambda own: mean(objectives.critic, own, generator_params, critic_carry))(critic_params),
        )
        return gamma / 2 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradients))

    def counted(carry: dict[str, PyTree], change: int) -> dict[str, PyTree]:
        """The carry before the critic's last update (−1), or after its next (+1)."""
        return carry if "updates" not in carry else carry | {"updates": jnp.maximum(carry["updates"] + change, 0)}

    def added(found: tuple, value: Array) -> tuple:
        losses, metrics, carry = found
        if "consensus" in metrics:
            raise ValueError("a penalty is called consensus: give it another name")
        return losses + value, metrics | {"consensus": value}, carry

    def generator_loss(key: Array, own: PyTree, other: PyTree, batch: Any, **carry: PyTree) -> tuple:
        value = penalty(key, own, other, batch, carry, counted(carry, -1))
        return added(objectives.generator(key, own, other, batch, **carry), value)

    def critic_loss(key: Array, own: PyTree, other: PyTree, batch: Any, **carry: PyTree) -> tuple:
        value = penalty(key, other, own, batch, counted(carry, 1), carry)
        return added(objectives.critic(key, own, other, batch, **carry), value)

    return AdversarialObjectives(generator_loss, critic_loss, objectives.carry)

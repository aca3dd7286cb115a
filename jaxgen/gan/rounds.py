"""A round of the game: real and fake data, what the critic says of them, and the losses of both players."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from jaxgen.gan.critic import Critic, logits_of
from jaxgen.gan.losses import AdversarialLoss
from jaxgen.gan.penalties import LazyPenalty, Penalty, ScheduledPenalty
from jaxgen.gan.views import Carry, View


class AdversarialObjectives(NamedTuple):
    """The two loss functions that `training.make_adversarial_step` takes, and the carry that they share.

    Attributes:
        generator: (key, generator_params, critic_params, batch, **carry) -> (losses (B,), metrics, carry).
        critic: (key, critic_params, generator_params, batch, **carry) -> (losses (B,), metrics, carry).
        carry: the initial carry that both players share, an argument of `training.create_adversarial_state`. The
            critic's loss advances it once for each of the critic's updates, and the generator's returns it as it is. It
            has `updates`, the number of the critic's updates so far, if a penalty is lazy or scheduled, or the noise
            follows a schedule; `lazy_penalties`, their means when they were last evaluated; `critic_state`; and
            `chain_state`, that of Diffusion-GAN's chain. It is empty if none of these is needed.
    """

    generator: Callable[..., tuple[Array, dict[str, Array], dict[str, PyTree]]]
    critic: Callable[..., tuple[Array, dict[str, Array], dict[str, PyTree]]]
    carry: dict[str, PyTree]


class Draw(NamedTuple):
    """Real and fake data (B, *event), and what the critic is told beside them."""

    real: Array
    fake: Array
    told: tuple


class _Round(NamedTuple):
    """Real and fake data and their logits, the critic for penalties, the critic's new state, and the view's key."""

    real: Array
    fake: Array
    real_logits: Array
    fake_logits: Array
    critic: Critic
    state: PyTree
    view_key: Array


def objectives_of(
    draw: Callable[[Array, PyTree, Any], Draw],
    critic: Callable[..., Any],
    loss: AdversarialLoss,
    view: View,
    *,
    penalties: Mapping[str, Penalty | LazyPenalty | ScheduledPenalty] | None,
    critic_state: PyTree,
) -> AdversarialObjectives:
    """Both players' loss functions.

    Args:
        draw: (key, generator_params, batch) -> the data of a round.
        critic: (params, x, *seen, *told) -> logits (B,), where `seen` is what the view adds. With a `critic_state` it
            also takes the state, as its last argument, and returns (logits, state).
        loss: the adversarial loss.
        view: how the critic sees data.
        penalties: the critic's penalties by name.
        critic_state: the initial state of the critic, or None.
    """
    penalties = dict(penalties or {})
    lazy = {name for name, penalty in penalties.items() if isinstance(penalty, LazyPenalty)}
    counting = {name for name, penalty in penalties.items() if isinstance(penalty, LazyPenalty | ScheduledPenalty)}
    carry: Carry = dict(view.carry)
    if counting or view.counts:
        carry["updates"] = jnp.int32(0)
    if lazy:
        carry["lazy_penalties"] = {name: jnp.float32(0) for name in lazy}
    if critic_state is not None:
        carry["critic_state"] = critic_state

    def play(
        key: Key[Array, ""],
        generator_params: PyTree,
        critic_params: PyTree,
        batch: Any,
        carried: Carry,
        *,
        critics: bool,
    ) -> _Round:
        """A round of the critic's update, or of the generator's."""
        draw_key, *noise_keys, view_key = jax.random.split(key, 5)
        real, fake, told = draw(draw_key, generator_params, batch)
        if fake.shape != real.shape:
            raise ValueError(f"the generator must return data of the real data's shape {real.shape}, got {fake.shape}")
        state = carried.get("critic_state")

        def seen_by(key: Array, judge: Callable[..., Any]) -> Critic:
            return view.of(key, judge, carried, 0 if critics else 1)

        if critics and critic_state is not None:
            advanced = seen_by(noise_keys[0], lambda x, *seen: critic(critic_params, x, *seen, *told, state)[1])(real)
            state = jax.lax.stop_gradient(advanced)

        def judge(x: Array, *seen: Array) -> Array:
            inputs = critic_params, x, *seen, *told
            return critic(*inputs) if critic_state is None else critic(*inputs, state)[0]

        on_real, on_fake, on_either = (seen_by(key, judge) for key in noise_keys)
        return _Round(real, fake, logits_of(on_real, real), logits_of(on_fake, fake), on_either, state, view_key)

    def generator_loss(
        key: Key[Array, ""], generator_params: PyTree, critic_params: PyTree, batch: Any, **carried: PyTree
    ) -> tuple[Array, dict[str, Array], Carry]:
        _check_carried(carry, carried)
        played = play(key, generator_params, critic_params, batch, carried, critics=False)
        losses = loss.generator(played.real_logits, played.fake_logits)
        return losses, {"fake_logit": played.fake_logits}, carried

    def critic_loss(
        key: Key[Array, ""], critic_params: PyTree, generator_params: PyTree, batch: Any, **carried: PyTree
    ) -> tuple[Array, dict[str, Array], Carry]:
        _check_carried(carry, carried)
        play_key, *penalty_keys = jax.random.split(key, 1 + len(penalties))
        played = play(play_key, generator_params, critic_params, batch, carried, critics=True)
        losses = loss.critic(played.real_logits, played.fake_logits)
        metrics = {"real_logit": played.real_logits, "fake_logit": played.fake_logits}
        for penalty_key, (name, penalty) in zip(penalty_keys, penalties.items(), strict=True):
            evaluate = partial(penalty.at, carried["updates"]) if name in counting else penalty
            values = evaluate(penalty_key, played.critic, played.real, played.fake)
            losses = losses + values
            if name in lazy:
                mean = values.mean().astype(jnp.float32) / penalty.factor
                values = jnp.where(penalty.is_due(carried["updates"]), mean, carried["lazy_penalties"][name])
            metrics[name] = values
        new = {"lazy_penalties": {name: metrics[name] for name in lazy}, "critic_state": played.state}
        if "updates" in carry:
            new["updates"] = carried["updates"] + 1
        followed, advanced = view.advance(played.view_key, carried, played.real_logits)
        new |= advanced
        return losses, metrics | followed, {name: new[name] for name in carry}

    return AdversarialObjectives(generator_loss, critic_loss, carry)


def as_tuple(batch: Any) -> tuple:
    """(x, *cond) of a batch."""
    if isinstance(batch, tuple):
        return batch
    if not hasattr(batch, "shape"):
        remedy = "tuple(batch)" if isinstance(batch, list) else "the data, or a tuple"
        raise TypeError(f"a batch is an array x or a tuple (x, *cond), got {type(batch).__name__}: pass {remedy}")
    return (batch,)


def _check_carried(carry: Carry, carried: Carry) -> None:
    """Raise ValueError unless the state's carry has the entries of the objectives'."""
    remedy = "create the states with carry=objectives.carry, an argument of training.create_adversarial_state"
    if missing := sorted(carry.keys() - carried.keys()):
        raise ValueError(f"the state's carry has no {', '.join(missing)}: {remedy}")
    if foreign := sorted(carried.keys() - carry.keys()):
        raise ValueError(f"the state's carry has {', '.join(foreign)}, which these objectives do not know: {remedy}")

"""The train step of two players, such as the generator and the critic of a GAN."""

from collections.abc import Callable, Mapping
from typing import Literal

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray, PyTree

from jaxgen.core import check_at_least, check_choice
from jaxgen.training.ema import Ema, warmup_ema
from jaxgen.training.mesh import Layout
from jaxgen.training.state import TrainState, check_carry, create_state
from jaxgen.training.step import LossFn, Metrics, Update, jit_step, make_update, split_batch

UpdateOrder = Literal["alternating", "simultaneous"]


class AdversarialState(flax.struct.PyTreeNode):
    """The states of two players; each has its own key, and `step` of each counts its own updates.

    Attributes:
        generator: the generator's state.
        critic: the critic's state.
        carry: what both loss functions see and keep from update to update, by name: the noise of Diffusion-GAN, the
            critic's statistics of spectral normalisation.
    """

    generator: TrainState
    critic: TrainState
    carry: PyTree = flax.struct.field(default_factory=dict)

    @property
    def step(self) -> PyTree:
        """The number of steps so far, which is that of the generator's updates."""
        return self.generator.step


def create_adversarial_state(
    key: PRNGKeyArray,
    generator_params: PyTree,
    critic_params: PyTree,
    generator_optimizer: optax.GradientTransformation,
    critic_optimizer: optax.GradientTransformation,
    carry: Mapping[str, PyTree] | None = None,
) -> AdversarialState:
    """Return the state before the first step; all arrays are copied.

    A player whose loss function has a carry of its own is created by `create_state`, and the pair by
    `AdversarialState`.

    Args:
        key: a typed key (), split between the players.
        generator_params: the generator's initial parameters.
        critic_params: the critic's initial parameters.
        generator_optimizer: initialised with `generator_params`.
        critic_optimizer: initialised with `critic_params`.
        carry: initial values of what both loss functions see and keep from update to update, by name; see
            `make_adversarial_step`.

    Returns:
        The state of both players, at step 0.

    Raises:
        TypeError: if the key is an old-style key, or the carry is not a dict.
    """
    check_carry(carry)
    generator_key, critic_key = jax.random.split(key)
    return AdversarialState(
        create_state(generator_key, generator_params, generator_optimizer),
        create_state(critic_key, critic_params, critic_optimizer),
        jax.tree.map(jnp.copy, dict(carry or {})),
    )


def make_adversarial_step(
    generator_loss: LossFn,
    critic_loss: LossFn,
    generator_optimizer: optax.GradientTransformation,
    critic_optimizer: optax.GradientTransformation,
    *,
    critic_steps: int = 1,
    order: UpdateOrder = "alternating",
    ema: Ema | None = warmup_ema(),  # noqa: B008, a pure function
    layout: Layout | None = None,
) -> Callable[[AdversarialState, PyTree], tuple[AdversarialState, Metrics]]:
    """Return a jitted `step(state, batch) -> (state, metrics)` that donates the state.

    One step takes `critic_steps` updates of the critic against the generator as it was before the step, and then one
    update of the generator. A batch holds B·critic_steps examples: update i of the critic gets every critic_steps-th
    of them from the i-th on, and the generator gets those of the last update. Each player's key is
    fold_in(player.key, player.step), so that a resumed run repeats the run that was never stopped.

    The entries of the state's `carry` pass from update to update, in either order of the players. Each loss function
    takes them as keyword arguments beside those of its player's own carry, and returns the new values of both in one
    dict.

    The metrics are those of `make_train_step` for each player, as `generator/loss`, `critic/grad_norm` and so on; the
    critic's are means over its updates.

    Args:
        generator_loss: (key, generator_params, critic_params, batch, **carry), otherwise as `LossFn`.
        critic_loss: (key, critic_params, generator_params, batch, **carry), otherwise as `LossFn`.
        generator_optimizer: the one that the generator's state was created with.
        critic_optimizer: the one that the critic's state was created with.
        critic_steps: updates of the critic for each of the generator, at least 1.
        order: "alternating": the generator's gradient is taken at the critic's new parameters. "simultaneous": it is
            taken at the parameters that the critic had before the step.
        ema: the decay of the average of the generator's parameters; the critic has none, its `ema` are its parameters.
        layout: the shardings of the state, as given to `place`; None on one device.

    Returns:
        The compiled step.

    Raises:
        ValueError: if `critic_steps` < 1 or the order is unknown; at the first call, if `critic_steps` does not divide
            the batch, or the state's carry and that of a player have a name in common; and as the step of
            `make_train_step` does.

    Reference:
        Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1 (alternating); Mescheder et al. 2017, "The
        Numerics of GANs", algorithm 1 (simultaneous).

    Example:
        ```python
        def fake(key, generator, x):  # the generator learns the mean of a Gaussian
            return generator + jax.random.normal(key, x.shape)

        def generator_loss(key, generator, critic, x):  # the critic is linear, x ↦ critic·x
            return -critic * fake(key, generator, x)

        def critic_loss(key, critic, generator, x):
            return critic * (fake(key, generator, x) - x) + critic**2 / 2

        optimizers = optax.sgd(0.1), optax.sgd(0.1)
        step = make_adversarial_step(generator_loss, critic_loss, *optimizers, critic_steps=5)
        state = create_adversarial_state(jax.random.key(0), jnp.zeros(()), jnp.zeros(()), *optimizers)
        state, metrics = step(state, jnp.ones(5 * 64))
        ```
    """
    check_at_least(1, critic_steps=critic_steps)
    check_choice(UpdateOrder, order=order)
    update_generator = make_update(generator_loss, generator_optimizer, ema)
    update_critic = make_update(critic_loss, critic_optimizer, None)

    def step(state: AdversarialState, batch: PyTree) -> tuple[AdversarialState, Metrics]:
        parts = split_batch(batch, critic_steps, "critic_steps")
        critic, carry, found = state.critic, state.carry, []
        # unrolled: on a CPU, the gradients of Flax's own convolutions are many times slower within a loop
        for i in range(critic_steps):
            part = jax.tree.map(lambda x, i=i: x[i], parts)
            critic, carry, metrics = _sharing(carry, update_critic, critic, part, state.generator.params)
            found.append(metrics)
        opponent = critic if order == "alternating" else state.critic
        generator, carry, metrics = _sharing(carry, update_generator, state.generator, part, opponent.params)
        mean = jax.tree.map(lambda *values: sum(values) / critic_steps, *found)
        named = {f"generator/{k}": v for k, v in metrics.items()} | {f"critic/{k}": v for k, v in mean.items()}
        return AdversarialState(generator, critic, carry), named

    return jit_step(step, layout)


def _sharing(
    shared: dict[str, PyTree], update: Update, player: TrainState, *batch_and_opponent: PyTree
) -> tuple[TrainState, dict[str, PyTree], Metrics]:
    """Update a player whose loss function also takes the entries of `shared`, and return their new values."""
    if clash := sorted(player.carry.keys() & shared.keys()):
        raise ValueError(f"the state's carry and a player's own both have {clash}: give the entries other names")
    found, metrics = update(player.replace(carry=player.carry | shared), *batch_and_opponent)
    own, shared = ({name: found.carry[name] for name in carry} for carry in (player.carry, shared))
    return found.replace(carry=own), shared, metrics

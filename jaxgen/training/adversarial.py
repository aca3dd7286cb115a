"""The train step of two players, such as the generator and the critic of a GAN."""

from collections.abc import Callable
from typing import Literal

import flax.struct
import jax
import optax
from jaxtyping import PRNGKeyArray, PyTree

from jaxgen.core import check_at_least, check_choice
from jaxgen.training.ema import Ema, warmup_ema
from jaxgen.training.mesh import Layout
from jaxgen.training.state import TrainState, create_state
from jaxgen.training.step import LossFn, Metrics, jit_step, make_update, split_batch

UpdateOrder = Literal["alternating", "simultaneous"]


class AdversarialState(flax.struct.PyTreeNode):
    """The states of two players; each has its own key, and `step` of each counts its own updates."""

    generator: TrainState
    critic: TrainState

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
) -> AdversarialState:
    """Return the state before the first step; all arrays are copied.

    A player whose loss function has a carry is created by `create_state`, and the pair by `AdversarialState`.

    Args:
        key: a typed key (), split between the players.
        generator_params: the generator's initial parameters.
        critic_params: the critic's initial parameters.
        generator_optimizer: initialised with `generator_params`.
        critic_optimizer: initialised with `critic_params`.

    Returns:
        The state of both players, at step 0.

    Raises:
        TypeError: if the key is an old-style key.
    """
    generator_key, critic_key = jax.random.split(key)
    return AdversarialState(
        create_state(generator_key, generator_params, generator_optimizer),
        create_state(critic_key, critic_params, critic_optimizer),
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
            the batch; and as the step of `make_train_step` does.

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
        critic, found = state.critic, []
        # unrolled: on a CPU, XLA computes the gradients of convolutions many times slower within a loop
        for i in range(critic_steps):
            part = jax.tree.map(lambda x, i=i: x[i], parts)
            critic, metrics = update_critic(critic, part, state.generator.params)
            found.append(metrics)
        opponent = critic if order == "alternating" else state.critic
        generator, metrics = update_generator(state.generator, part, opponent.params)
        mean = jax.tree.map(lambda *values: sum(values) / critic_steps, *found)
        named = {f"generator/{k}": v for k, v in metrics.items()} | {f"critic/{k}": v for k, v in mean.items()}
        return AdversarialState(generator, critic), named

    return jit_step(step, layout)

"""The loss functions of both players, from a generator, a critic, an adversarial loss and penalties."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Key, PyTree

from jaxgen.core import check_at_least, check_not_negative
from jaxgen.gan._adaptive_diffusion import AdaptiveDiffusion
from jaxgen.gan.losses import AdversarialLoss
from jaxgen.gan.penalties import LazyPenalty, Penalty, ScheduledPenalty
from jaxgen.gan.rounds import AdversarialObjectives, Draw, as_tuple, objectives_of
from jaxgen.gan.views import Schedule, diffused_view, noised_view


def adversarial_objectives(
    generator: Callable[..., Array],
    critic: Callable[..., Any],
    loss: AdversarialLoss,
    *,
    penalties: Mapping[str, Penalty | LazyPenalty | ScheduledPenalty] | None = None,
    noise: ArrayLike | Schedule | AdaptiveDiffusion = 0.0,
    critic_steps: int = 1,
    critic_state: PyTree = None,
) -> AdversarialObjectives:
    """Make both players' loss functions of any generator and critic.

    A batch is real data x (B, *event), or a tuple (x, *cond) of it and of what both players are told, such as labels.

    Both real and fake data may be noised before the critic sees them: by instance noise, or by the chain of a
    Diffusion-GAN. A penalty's gradients are then those in the data before the noise. `denoising_objectives` are those
    of a denoising diffusion GAN.

    The metrics are the means of `real_logit` and `fake_logit` for the critic, with each penalty by its name, and of
    `fake_logit` for the generator. The critic of a Diffusion-GAN also has `diffusion_steps`, the length of the chain.

    Args:
        generator: (key, params, x, *cond) -> fake data of x's shape. Only the shape of x may matter.
        critic: (params, x, *cond) -> logits (B,). That of a Diffusion-GAN is (params, x_t, t, *cond) -> logits, with
            times t (B,) in [0, 1]. With a `critic_state` it also takes the state, as its last argument, and returns
            (logits, state), which is how spectral normalisation remembers its power iteration.
        loss: the adversarial loss.
        penalties: the critic's penalties by name. A lazy one is evaluated when its turn is.
        noise: σ ≥ 0 of the instance noise on all that the critic sees, (), or a schedule of it, which takes the number
            n of the generator's updates before this step. It is found from the number u of the critic's updates so far:
            n = u // critic_steps in the critic's loss. A step updates the critic first in either order, so that
            n = max(u − 1, 0) // critic_steps in the generator's. Each example and each call of the critic has noise of
            its own. `adaptive_diffusion()` makes a Diffusion-GAN, whose chain follows the critic's logits of real data.
        critic_steps: as given to `training.make_adversarial_step`; schedules need it.
        critic_state: the initial state of the critic; None if it has none. Each update of the critic advances it once,
            by the critic's call on the real data it sees. The generator's update leaves it as it is.

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
    view = diffused_view(noise) if isinstance(noise, AdaptiveDiffusion) else noised_view(noise, critic_steps)

    def draw(key: Key[Array, ""], params: PyTree, batch: Any) -> Draw:
        x, *cond = as_tuple(batch)
        return Draw(x, generator(key, params, x, *cond), tuple(cond))

    return objectives_of(draw, critic, loss, view, penalties=penalties, critic_state=critic_state)


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

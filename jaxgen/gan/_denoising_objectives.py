"""The loss functions of a denoising diffusion GAN, from its generator and critic."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array, Key, PyTree

from jaxgen.core import check_at_least
from jaxgen.diffusion import GaussianProcess, denoiser
from jaxgen.gan._ddgan import check_discrete, denoising_pairs
from jaxgen.gan.losses import AdversarialLoss
from jaxgen.gan.penalties import LazyPenalty, Penalty, ScheduledPenalty
from jaxgen.gan.rounds import AdversarialObjectives, Draw, as_tuple, objectives_of
from jaxgen.gan.views import plain_view


def denoising_objectives(
    process: GaussianProcess,
    generator: Callable[..., Array],
    critic: Callable[..., Any],
    loss: AdversarialLoss,
    *,
    latent_size: int,
    penalties: Mapping[str, Penalty | LazyPenalty | ScheduledPenalty] | None = None,
    critic_state: PyTree = None,
) -> AdversarialObjectives:
    """Make both players' loss functions of a denoising diffusion GAN.

    `denoising_pairs` draws what the critic sees, at random times. The adversarial loss and the penalties are those of
    its logits as a function of x_s. A batch is clean data x0 (B, *event), or a tuple (x0, *cond) of them and of what
    both players are told, such as labels.

    The metrics are those of `adversarial_objectives`.

    Args:
        process: a discrete process, such as `ddgan_process()`.
        generator: (params, x_t, t, z, *cond) -> x0 (B, *event). It is the `apply` of `nets.DenoisingGenerator`.
        critic: (params, x_s, x_t, t, *cond) -> logits (B,). It is the `apply` of `nets.DenoisingCritic`. With a
            `critic_state` it also takes the state, as its last argument, and returns (logits, state).
        loss: the adversarial loss.
        latent_size: number of entries of z, as in `denoising_pairs`.
        penalties: the critic's penalties by name. Their gradients are those in x_s. A lazy one is evaluated when its
            turn is.
        critic_state: as in `adversarial_objectives`.

    Returns:
        The loss functions and their carry.

    Raises:
        ValueError: if the process is not discrete, or latent_size < 1; at the first call, if the states were created
            without `carry`, the critic does not return one logit per example, or the generator's output has not the
            data's shape.
        TypeError: at the first call, if a batch is neither an array nor a tuple.

    Reference:
        Xiao et al. 2022, "Tackling the Generative Learning Trilemma with Denoising Diffusion GANs", eq. 4–6; the
        penalty of the example: appendix.

    Example:
        ```python
        objectives = gan.denoising_objectives(
            gan.ddgan_process(4), generator.apply, critic.apply, gan.non_saturating(), latent_size=100,
            penalties={"r1": gan.lazy(gan.r1(0.05), 15, scaled=False)},
        )
        step = training.make_adversarial_step(objectives.generator, objectives.critic, *optimizers)
        state = training.create_adversarial_state(key, *params, *optimizers, objectives.carry)
        ```
    """
    check_at_least(1, latent_size=latent_size)
    check_discrete(process)

    def draw(key: Key[Array, ""], params: PyTree, batch: Any) -> Draw:
        x0, *cond = as_tuple(batch)

        def network(x_t: Array, t: Array, z: Array) -> Array:
            return generator(params, x_t, t, z, *cond)

        pairs = denoising_pairs(key, process, denoiser(process, network, predicts="x0"), x0, latent_size)
        return Draw(pairs.real, pairs.fake, (pairs.x_t, pairs.t, *cond))

    return objectives_of(draw, critic, loss, plain_view(), penalties=penalties, critic_state=critic_state)

"""Adversarial losses: pairs of functions of the critic's logits.

A logit is the critic's output before any sigmoid, D = sigmoid(logit) is its probability of being real. Critics that are
no classifiers, as those of the Wasserstein loss, have logits in this sense too: large ones mean real.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LogitLoss = Callable[[Array, Array], Array]
"""(real_logits (B,), fake_logits (B,)) -> losses (B,)."""


class AdversarialLoss(NamedTuple):
    """The losses of both players as functions (real_logits (B,), fake_logits (B,)) -> (B,); each player minimises its.

    Any two such functions make an adversarial loss.

    Args:
        critic: the critic's loss.
        generator: the generator's loss. Most do not depend on `real_logits`.

    Example:
        >>> loss = gan.hinge()
        >>> loss.critic(critic(x), critic(fake)), loss.generator(critic(x), critic(fake))
    """

    critic: LogitLoss
    generator: LogitLoss


def minimax() -> AdversarialLoss:
    """The zero-sum loss: −log D(x) − log(1 − D(G)) for the critic, log(1 − D(G)) for the generator.

    Its best critic is D* = p/(p + q), at which the critic's loss is log 4 − 2 JSD(p, q) in expectation. The generator's
    gradient vanishes where the critic is sure.

    Returns:
        The pair of losses.

    Reference:
        Goodfellow et al. 2014, "Generative adversarial nets", eq. 1 and 2.
    """
    return AdversarialLoss(_cross_entropy, _checked(lambda real, fake: -jax.nn.softplus(fake)))


def non_saturating() -> AdversarialLoss:
    """The critic's loss of `minimax`, and −log D(G) for the generator.

    Returns:
        The pair of losses.

    Reference:
        Goodfellow et al. 2014, "Generative adversarial nets", §3.
    """
    return AdversarialLoss(_cross_entropy, _checked(lambda real, fake: jax.nn.softplus(-fake)))


def hinge() -> AdversarialLoss:
    """The hinge loss max(0, 1 − D(x)) + max(0, 1 + D(G)) for the critic, −D(G) for the generator, D the logit.

    Returns:
        The pair of losses.

    Reference:
        Lim & Ye 2017, "Geometric GAN"; Miyato et al. 2018, "Spectral normalization for generative adversarial
        networks", eq. 16 and 17.
    """
    critic = _checked(lambda real, fake: jax.nn.relu(1 - real) + jax.nn.relu(1 + fake))
    return AdversarialLoss(critic, _checked(lambda real, fake: -fake))


def least_squares(fake: float | int = 0.0, real: float | int = 1.0, target: float | int = 1.0) -> AdversarialLoss:
    """The quadratic loss ½(D(x) − b)² + ½(D(G) − a)² for the critic, ½(D(G) − c)² for the generator, D the logit.

    With b − c = 1 and b − a = 2 the generator minimises the Pearson χ² divergence of p + q from 2q.

    Args:
        fake: a, the critic's target for fake data.
        real: b, the critic's target for real data.
        target: c, what the generator wants the critic to return.

    Returns:
        The pair of losses.

    Reference:
        Mao et al. 2017, "Least squares generative adversarial networks", eq. 2.
    """
    critic = _checked(
        lambda real_logits, fake_logits: 0.5 * (real_logits - real) ** 2 + 0.5 * (fake_logits - fake) ** 2
    )
    return AdversarialLoss(critic, _checked(lambda real_logits, fake_logits: 0.5 * (fake_logits - target) ** 2))


def wasserstein() -> AdversarialLoss:
    """The difference D(G) − D(x) for the critic, −D(G) for the generator, D the logit.

    The critic must be kept Lipschitz, as by `gradient_penalty` or spectral normalisation.

    Returns:
        The pair of losses.

    Reference:
        Arjovsky et al. 2017, "Wasserstein generative adversarial networks", algorithm 1.
    """
    return AdversarialLoss(_checked(lambda real, fake: fake - real), _checked(lambda real, fake: -fake))


def relativistic_pairing() -> AdversarialLoss:
    """The loss softplus(−(D(x) − D(G))) for the critic and softplus(D(x) − D(G)) for the generator, D the logit.

    Each fake example is paired with a real one, and only differences of logits count. R3GAN adds `r1` and `r2` of equal
    strength.

    Returns:
        The pair of losses.

    Reference:
        Jolicoeur-Martineau 2019, "The relativistic discriminator"; Huang et al. 2024, "The GAN is dead; long live the
        GAN!", eq. 2.
    """
    critic = _checked(lambda real, fake: jax.nn.softplus(fake - real))
    return AdversarialLoss(critic, _checked(lambda real, fake: jax.nn.softplus(real - fake)))


def _checked(loss: LogitLoss) -> LogitLoss:
    """The loss of logits that are checked to be (B,), one per example of each kind."""

    def checked(real_logits: Float[Array, " b"], fake_logits: Float[Array, " b"]) -> Float[Array, " b"]:
        if jnp.ndim(real_logits) != 1 or jnp.shape(real_logits) != jnp.shape(fake_logits):
            raise ValueError(
                f"losses take as many real as fake logits, both (B,), got {jnp.shape(real_logits)} and "
                f"{jnp.shape(fake_logits)}: squeeze the last axis of a network with one output"
            )
        return loss(real_logits, fake_logits)

    return checked


_cross_entropy = _checked(lambda real, fake: jax.nn.softplus(-real) + jax.nn.softplus(fake))
